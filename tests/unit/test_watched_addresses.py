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


def test_nothing_is_forgotten_as_more_are_watched_and_few_strangers_are_taken_for_them() -> None:
    watched, batches = WatchedAddresses(), [[f"{n}:{m}" for m in range(40_000)] for n in range(5)]
    for known, batch in enumerate(batches, 1):
        watched.add(batch)
        assert all(watched.maybe(earlier).all() for earlier in batches[:known])
    assert len(watched) == 200_000
    strangers = [f"stranger {number}" for number in range(20_000)]
    assert watched.maybe(strangers).mean() < 0.05
