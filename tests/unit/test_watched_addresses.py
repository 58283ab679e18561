"""The set of watched addresses: nothing watched is missed, however few or many are asked about."""

from __future__ import annotations

import pytest

from agents.parts.watched_addresses import FEW, WatchedAddresses

WATCHED = [f"0x{number:040x}" for number in range(5000)]


@pytest.mark.parametrize("count", [0, 1, FEW, FEW + 1, 3000])
def test_every_watched_address_is_found_where_it_stands(count: int) -> None:
    watched = WatchedAddresses()
    watched.add(WATCHED)
    strangers = [f"stranger {number}" for number in range(count)]
    asked = [address for pair in zip(WATCHED, strangers, strict=False) for address in pair][:count]
    found = watched.find(asked)
    assert set(range(0, count, 2)) <= set(found)
    assert found == watched.maybe(asked).nonzero()[0].tolist()
