"""Following the tip of a chain whose nodes are asked again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.types import Tip


async def watch_tip(
    rpc: RpcClient,
    poll_tip: Callable[[Endpoint], Awaitable[Tip]],
    *,
    poll_interval_s: float,
    silence_s: float,
) -> AsyncGenerator[Tip, None]:
    """Yield the tip now and after each change, as `poll_tip` has it from one endpoint.

    One that stands still for `silence_s` may be that of a node that lags: all are asked.
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
