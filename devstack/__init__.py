"""Real servers for development, tests and the demo, without Docker."""
