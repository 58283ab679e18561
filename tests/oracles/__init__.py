"""Independent implementations that ours are compared with."""
