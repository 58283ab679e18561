"""What a fault run reports: a figure for each promise, and whether it was kept."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """One measured promise."""

    name: str
    value: str
    kept: bool


def check(name: str, actual: object, expected: object) -> Figure:
    """Return the figure of something that must be equal to what was expected."""
    value = str(actual) if actual == expected else f"{actual}, expected {expected}"
    return Figure(name, value, actual == expected)
