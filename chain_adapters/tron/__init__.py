"""TRON over java-tron's HTTP API."""
