"""The development node of each chain, and how to drive it."""
