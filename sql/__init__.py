"""Migrations, named queries, and their typed twins."""
