"""Submissions: results that came from elsewhere are packed, read, checked and run again."""
