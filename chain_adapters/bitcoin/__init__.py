"""Bitcoin's constants."""
