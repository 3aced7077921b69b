"""The audit: one network and one volume in, one report out."""
