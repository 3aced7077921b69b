"""Workers: the processes that cells run in, what they run, and what of the machine they take."""
