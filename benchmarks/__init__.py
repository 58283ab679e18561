"""Ours beside the bare limit, measured in one run."""
