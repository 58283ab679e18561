"""The millrace command, one file per group of verbs."""
