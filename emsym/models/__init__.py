"""Models: architectures, their stems, init strategies and pretrained weights."""
