"""Bitcoin's kind of chain on a real node: litecoind in regtest, under each chain's constants."""

from __future__ import annotations

from typing import Any

from chain_adapters.types import Coin, SignedTransaction
from chain_adapters.utxo.adapter import UtxoAdapter
from devstack.chains.bitcoin import CoreNode
from devstack.chains.bitcoin_chain import BitcoinChain
from tests.support.chain_worlds.world import World


class CoreWorld(World):
    """The node, which mines when told to."""

    has_tokens = False
    funds_minor = 5 * 10**8
    some_minor = 10**7

    def __init__(self, node: CoreNode, chain: BitcoinChain, **changes: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.kind = node.kind  # type: ignore[misc] # one class for three kinds
        self.chain = chain
        settings = {"native_symbol": node.asset, "poll_interval_s": 0.02, **changes}
        self.adapter: UtxoAdapter = UtxoAdapter(
            (node.chain,), node.chain.network, [node.rpc_url], **settings
        )

    async def coins(self, address: str) -> list[Coin]:
        return await self.chain.coins(address)

    async def fund(self, address: str, amount_minor: int) -> None:
        await self.chain.pay(address, amount_minor)
        await self.mine()

    async def issue_token(self, address: str, amount_minor: int) -> str:
        raise AssertionError("there are no tokens")

    async def order_failure(self, sender: str) -> SignedTransaction:
        raise AssertionError("what fails is in no block")

    async def mine(self, count: int = 1) -> None:
        await self.chain.mine(count)

    async def reorganise(self, depth: int) -> None:
        await self.chain.reorganise(depth)

    async def close(self) -> None:
        await super().close()
        await self.chain.__aexit__(None, None, None)


async def open_core_world(node: CoreNode, **changes: Any) -> CoreWorld:  # noqa: ANN401
    """Return a world on a node that runs."""
    chain = await BitcoinChain(node.rpc_url, node.chain).__aenter__()
    return CoreWorld(node, chain, **changes)
