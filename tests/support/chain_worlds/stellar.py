"""Stellar on a simulated node: none can be had."""

from __future__ import annotations

import secrets
from typing import Any

from stellar_sdk import AccountMerge, Keypair

from chain_adapters.stellar.adapter import StellarAdapter
from chain_adapters.types import BroadcastOutcome, Payment, SignedTransaction
from devstack.chains.stellar import StellarChain, StellarNode
from tests.support.chain_worlds.world import World


class StellarWorld(World):
    """The simulated node, which closes ledgers when told to."""

    kind = "stellar"
    adapter: StellarAdapter
    reorganises = False
    funds_minor = 10**11
    some_minor = 2 * 10**7

    def __init__(self, node: StellarNode, chain: StellarChain, **changes: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.chain = chain
        settings = {"poll_interval_s": 0.02, **changes}
        self.adapter = StellarAdapter(node.network, [node.rpc_url], **settings)

    async def fund(self, address: str, amount_minor: int) -> None:
        await self.chain.pay(address, amount_minor)
        await self.mine()

    async def issue_token(self, address: str, amount_minor: int) -> str:
        token = await self.chain.issue_token(f"T{secrets.token_hex(4)}")
        await self.trust(address, token)
        await self.chain.pay_token(token, address, amount_minor)
        await self.mine()
        return token

    def token_of_nobody(self) -> str:
        return f"T:{self.new_address()}"

    async def trust(self, address: str, contract: str) -> None:
        """Let an address of ours hold an asset, as the adapter does it."""
        signed = await self.order(Payment(address, address, contract, 0))
        answer = await self.adapter.broadcast(signed)
        assert answer.outcome is BroadcastOutcome.ACCEPTED, answer
        await self.mine()

    async def new_holder(self, contract: str | None) -> str:
        address = self.new_address()
        if contract is not None:
            await self.fund(address, 10**9)
            await self.trust(address, contract)
        return address

    async def order_failure(self, sender: str) -> SignedTransaction:
        recipient = await self.chain.new_account()
        signed = await self.order(Payment(sender, recipient.public_key, None, self.some_minor))
        await self.merge(recipient)
        return signed

    async def merge(self, key: Keypair) -> None:
        """Take a stranger's account away."""
        other = await self.chain.new_recipient()
        await self.chain.act(key, [AccountMerge(other)])
        await self.mine()

    async def mine(self, count: int = 1) -> None:
        await self.chain.mine(count)

    async def reorganise(self, depth: int) -> None:
        await self.chain.reorganise(depth)

    async def close(self) -> None:
        await super().close()
        await self.chain.__aexit__(None, None, None)


async def open_stellar_world(node: StellarNode, **changes: Any) -> StellarWorld:  # noqa: ANN401
    """Return a world on a node that runs."""
    chain = await StellarChain(node.rpc_url).__aenter__()
    return StellarWorld(node, chain, **changes)
