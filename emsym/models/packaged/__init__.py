"""Networks in folders and archives that say how they are built and what they read."""
