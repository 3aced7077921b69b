"""The audit: one network and one volume in, one report out. `emsym.audit` is its front door."""
