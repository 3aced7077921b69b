"""Runs: one cell, its record, the store, and the runner that walks all cells through."""
