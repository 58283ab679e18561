"""Addresses as people write them: inside, each has the one canonical form of its chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from cli import session
from cli.errors import Problem

if TYPE_CHECKING:
    from chain_adapters.adapter import ChainAdapter
    from settings.model import Settings


async def show_addresses(
    config: Settings, rows: Sequence[Mapping[str, Any]], fields: Sequence[str] = ("address",)
) -> list[dict[str, Any]]:
    """Return rows, each with a `network`, with the addresses in `fields` as people paste them.

    What cannot be shown so stays as it is: an address of a network that is not configured (any
    more), and one that an order was refused for.
    """
    configured = {network.network for network in config.networks}
    async with AsyncExitStack() as stack:
        adapters: dict[str, ChainAdapter] = {}
        for name in {row["network"] for row in rows} & configured:
            with suppress(Problem):  # a variable is not set: it is for the node, not for this
                opened = session.chain(config.network(name))
                adapters[name] = await stack.enter_async_context(opened)
        return [
            {**row, **{name: _show(adapters.get(row["network"]), row[name]) for name in fields}}
            for row in rows
        ]


def _show(adapter: ChainAdapter | None, address: str | None) -> str | None:
    if adapter is None or address is None:
        return address
    try:
        return adapter.show_address(address)
    except ValueError:
        return address
