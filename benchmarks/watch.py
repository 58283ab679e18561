"""Watched addresses: memory and time a probe, measured beside a Python set of strings."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from agents.parts.watched_addresses import WatchedAddresses

MILLIONS = 1
ADDED_AT_ONCE = 50_000
PROBES = 200_000
PROBES_AT_ONCE = 1_000
"""About what a block asks for."""
ROUNDS = 7


def address_of(number: int) -> str:
    """Return an address that looks like any other."""
    return f"0x{number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % (1 << 160):040x}"


def _time_probes(probe: Callable[[Sequence[str]], object], addresses: Sequence[str]) -> float:
    """Return microseconds a probe. Strings are made anew, as decoding a block makes them."""
    fresh = ["".join(address) for address in addresses]
    started = time.perf_counter()
    for start in range(0, len(fresh), PROBES_AT_ONCE):
        probe(fresh[start : start + PROBES_AT_ONCE])
    return (time.perf_counter() - started) / len(fresh) * 1e6


def run() -> list[dict[str, Any]]:
    """Measure and return the rows of the table."""
    count = MILLIONS * 1_000_000
    watched, plain = WatchedAddresses(), set[str]()
    for start in range(0, count, ADDED_AT_ONCE):
        page = [address_of(number) for number in range(start, start + ADDED_AT_ONCE)]
        watched.add(page)
        plain.update(page)
    gc.collect()
    strangers = [address_of(number) for number in range(count, count + PROBES)]
    turns = [
        (
            _time_probes(watched.maybe, strangers),
            _time_probes(lambda page: [address in plain for address in page], strangers),
        )
        for _ in range(ROUNDS)
    ]
    plain_bytes = sys.getsizeof(plain) + count * sys.getsizeof(address_of(0))
    found = sum(
        int(watched.maybe([address_of(n) for n in range(start, start + ADDED_AT_ONCE)]).sum())
        for start in range(0, count, ADDED_AT_ONCE)
    )
    mib = 1024 * 1024 * MILLIONS
    ours_us, plain_us = (statistics.median(column) for column in zip(*turns, strict=True))
    name = "a Python set of strings"
    return [
        _row(
            "watched addresses, memory", watched.size_bytes / mib, plain_bytes / mib, name, "MiB/M"
        ),
        _row("watched addresses, probe", ours_us, plain_us, name, "µs"),
        {
            "name": "watched addresses, misses",
            "ours": count - found,
            "reference": 0,
            "reference_name": name,
            "unit": f"of {count}",
            "ratio": float(found == count),
        },
    ]


def _row(
    name: str, ours: float, reference: float, reference_name: str, unit: str
) -> dict[str, Any]:
    return {
        "name": name,
        "ours": round(ours, 3),
        "reference": round(reference, 3),
        "reference_name": reference_name,
        "unit": unit,
        "ratio": round(reference / ours, 3),
    }
