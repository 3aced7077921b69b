"""Submissions: results that came from elsewhere, packed, read, checked and run again."""
