"""Dogecoin's constants."""
