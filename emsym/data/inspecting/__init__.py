"""Inspecting: what a data set holds, in words and pictures, and a first card for one's own."""
