"""Following the latest ledger by polling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.stellar.reading import fetch_latest
from chain_adapters.types import Tip


async def poll_tip(endpoint: Endpoint) -> Tip:
    """Ask one endpoint for its latest ledger. A closed ledger is final (Stellar Consensus)."""
    ledger = await fetch_latest(endpoint)
    height = ledger.sequence
    return Tip(height, ledger.hash, safe_height=height, finalized_height=height)


async def watch_tip(
    rpc: RpcClient, *, poll_interval_s: float, silence_s: float
) -> AsyncGenerator[Tip, None]:
    """Yield the tip now and after each change.

    One that stands still for `silence_s` may be that of a server that lags: all are asked.
    """
    loop = asyncio.get_running_loop()
    last: Tip | None = None
    changed_at = loop.time()
    while True:
        tip = await rpc.first(poll_tip)
        if tip != last:
            last, changed_at = tip, loop.time()
            yield tip
        elif loop.time() - changed_at > silence_s and len(rpc.endpoints) > 1:
            changed_at = loop.time()
            await rpc.survey(poll_tip, lambda found: found.height)
        await asyncio.sleep(poll_interval_s)
