"""Following the newest masterchain block by polling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.ton.asking import get
from chain_adapters.ton.decode import hex_hash
from chain_adapters.ton.wire import MasterchainInfo
from chain_adapters.types import NodeUnavailable, Tip, WrongNetwork


async def require_network(endpoint: Endpoint, global_id: int) -> None:
    """Raise WrongNetwork unless the endpoint's blocks carry the network's global id."""
    found = (await get(endpoint, "masterchainInfo", {}, MasterchainInfo)).last.global_id
    if found != global_id:
        raise WrongNetwork(f"{endpoint.host} serves the network {found}, not {global_id}")


async def poll_tip(endpoint: Endpoint) -> Tip:
    """Ask one endpoint for the newest block of its index. Masterchain blocks are final."""
    last = (await get(endpoint, "masterchainInfo", {}, MasterchainInfo)).last
    if last.workchain != -1:
        raise NodeUnavailable("the node's newest block is none of the masterchain")
    height = last.seqno
    return Tip(height, hex_hash(last.root_hash), safe_height=height, finalized_height=height)


async def watch_tip(
    rpc: RpcClient, *, poll_interval_s: float, silence_s: float
) -> AsyncGenerator[Tip, None]:
    """Yield the tip now and after each change.

    One that stands still for `silence_s` may be that of an index that lags: all are asked.
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
