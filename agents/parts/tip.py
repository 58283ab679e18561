"""The tip of a chain, for those who do not follow it."""

from __future__ import annotations

from contextlib import aclosing

from chain_adapters.adapter import ChainReader


async def ask_tip_height(reader: ChainReader) -> int:
    """Return the height of the tip that the node has now. Raises NodeUnavailable."""
    async with aclosing(reader.watch_tip()) as tips:
        return (await anext(tips)).height
