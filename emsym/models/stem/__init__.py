"""The stem: what reads the raw stack is found, filled, repaired and measured."""
