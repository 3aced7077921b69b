"""Scores that are computed where a protocol lists them: a file for each, and those of plug-ins."""
