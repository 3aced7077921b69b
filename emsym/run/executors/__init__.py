"""Executors: where cells are run, on this machine or on a cluster.

A module here that decorates its executor with `register_executor` is all that one takes:
`emsym.run.executors.registry` imports every module of this package. As that happens when the
options of `run` are read, what is slow is imported inside functions.
"""
