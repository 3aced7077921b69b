"""Reading: files of any format as arrays of which only what is asked for is read."""
