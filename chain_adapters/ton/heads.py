"""The newest masterchain block, and telling one network from another."""

from __future__ import annotations

from chain_adapters.rpc import Endpoint
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
