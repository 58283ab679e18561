"""Amounts as graphs show them."""

from __future__ import annotations


def whole_units(amount_minor: int, decimals: int) -> float:
    """Return an amount in whole units of its asset, rounded: for metrics alone, never for money."""
    return amount_minor / 10.0**decimals
