"""Solana on the emulator: the real virtual machine, slots and blocks of our own making."""

from __future__ import annotations

from typing import Any

from chain_adapters.solana.adapter import SolanaAdapter
from chain_adapters.types import Payment, SignedTransaction
from devstack.chains.solana import SolanaChain, SolanaNode
from tests.support.chain_worlds.world import World


class SolanaWorld(World):
    """A node that mines when told to, and skips slots."""

    kind = "solana"
    reorganises = False
    funds_minor = 10**10
    some_minor = 10**6
    adapter: SolanaAdapter

    def __init__(self, node: SolanaNode, chain: SolanaChain, **changes: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.chain = chain
        settings = {"poll_interval_s": 0.02, "push_url": node.push_url, **changes}
        self.adapter = SolanaAdapter(node.network, [node.rpc_url], **settings)

    async def fund(self, address: str, amount_minor: int) -> None:
        await self.chain.pay(address, amount_minor)
        await self.mine()

    async def issue_token(self, address: str, amount_minor: int) -> str:
        contract = await self.chain.issue_token("TEST")
        await self.chain.pay_token(contract, address, amount_minor)
        await self.mine()
        return contract

    async def order_failure(self, sender: str) -> SignedTransaction:
        """A token payment that the issuer makes fail, by an order that is executed before it."""
        contract = await self.issue_token(sender, 100)
        signed = await self.order(Payment(sender, self.new_address(), contract, 60))
        await self.chain.freeze(contract, sender)
        return signed

    async def mine(self, count: int = 1) -> None:
        await self.chain.mine(count)

    async def reorganise(self, depth: int) -> None:
        await self.chain.reorganise(depth)

    async def close(self) -> None:
        await super().close()
        await self.chain.__aexit__(None, None, None)


async def open_solana_world(node: SolanaNode, **changes: Any) -> SolanaWorld:  # noqa: ANN401
    """Return a world on a running node."""
    chain = await node.open_chain().__aenter__()
    assert isinstance(chain, SolanaChain)
    return SolanaWorld(node, chain, **changes)
