"""Formats of arrays: a module for each, which registers its reader when it is imported.

`emsym.data.reading.readers` imports every module here, so that a format is added by one file.
"""
