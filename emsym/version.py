"""The version of emsym, and that of its scores."""

__version__ = "0.1.0"

SCORING_VERSION = 3
"""Raised by every change after which the same cell may give other numbers."""
