"""Executors: where cells are run, on this machine or on a cluster."""
