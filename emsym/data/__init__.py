"""Data: dataset cards, volumes, slice stacks and phantoms."""
