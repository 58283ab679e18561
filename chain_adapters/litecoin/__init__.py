"""Litecoin's constants."""
