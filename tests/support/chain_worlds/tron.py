"""TRON on a simulated node: none can be had."""

from __future__ import annotations

from typing import Any

from chain_adapters.tron.adapter import TronAdapter
from chain_adapters.types import Payment, SignedTransaction
from devstack.chains.tron import TronChain, TronNode
from tests.support.chain_worlds.world import World


class TronWorld(World):
    """The simulated node, which mines when told to."""

    kind = "tron"
    adapter: TronAdapter
    funds_minor = 10**12

    def __init__(
        self,
        node: TronNode,
        chain: TronChain,
        rpc_url: str | None = None,
        **changes: Any,  # noqa: ANN401
    ) -> None:
        """Read the node, or what stands before it at `rpc_url`."""
        super().__init__()
        self.chain = chain
        settings = {"poll_interval_s": 0.02, **changes}
        self.adapter = TronAdapter(node.network, [rpc_url or node.rpc_url], **settings)

    async def fund(self, address: str, amount_minor: int) -> None:
        await self.chain.pay(address, amount_minor)
        await self.mine()

    async def issue_token(self, address: str, amount_minor: int) -> str:
        token = await self.chain.issue_token("T")
        await self.chain.pay_token(token, address, amount_minor)
        await self.mine()
        return token

    async def order_failure(self, sender: str) -> SignedTransaction:
        token = await self.issue_token(sender, 100)
        signed = await self.order(Payment(sender, self.new_address(), token, 5))
        await self.chain.set_token(token, paused=True)
        return signed

    async def mine(self, count: int = 1) -> None:
        await self.chain.mine(count)

    async def reorganise(self, depth: int) -> None:
        await self.chain.reorganise(depth)

    async def close(self) -> None:
        await super().close()
        await self.chain.__aexit__(None, None, None)


async def open_tron_world(node: TronNode, **changes: Any) -> TronWorld:  # noqa: ANN401
    """Return a world on a node that runs."""
    chain = await TronChain(node.rpc_url).__aenter__()
    return TronWorld(node, chain, **changes)
