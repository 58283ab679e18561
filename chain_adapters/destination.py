"""Where payments go, on chains without memos."""

from __future__ import annotations

from chain_adapters.types import Destination, InvalidMemo


def plain_destination(address: str, memo: str | None) -> Destination:
    """Return an address without a memo. Raises InvalidMemo if there is one."""
    if memo is not None:
        raise InvalidMemo("this network has no memos: leave it out")
    return Destination(address)
