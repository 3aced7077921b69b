"""Faithfulness: whether the pixels that an attribution names matter to the network."""
