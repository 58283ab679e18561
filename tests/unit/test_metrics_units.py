"""Amounts as graphs show them."""

from __future__ import annotations

import pytest

from metrics.units import whole_units


@pytest.mark.parametrize(
    ("amount_minor", "decimals", "expected"),
    [(15 * 10**17, 18, 1.5), (0, 6, 0.0), (7, 0, 7.0), (10**77, 18, 1e59), (1, 36, 1e-36)],
)
def test_amounts_of_any_size_are_shown_in_whole_units(
    amount_minor: int, decimals: int, expected: float
) -> None:
    assert whole_units(amount_minor, decimals) == pytest.approx(expected)
