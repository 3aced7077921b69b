"""Scores: segmentation, attribution, symmetry and faithfulness."""
