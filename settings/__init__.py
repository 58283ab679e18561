"""Configuration, read once at the start: environment variables and a TOML file."""
