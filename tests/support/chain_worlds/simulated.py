"""The chain in memory."""

from __future__ import annotations

from chain_adapters.simulated import SimulatedAdapter, SimulatedChain
from chain_adapters.types import Payment, SignedTransaction, Token
from tests.support.chain_worlds.world import World


class SimulatedWorld(World):
    """The chain in memory."""

    kind = "simulated"
    adapter: SimulatedAdapter

    def __init__(self) -> None:
        super().__init__()
        self.chain = SimulatedChain()
        self.adapter = SimulatedAdapter(self.chain)

    async def fund(self, address: str, amount_minor: int) -> None:
        self.chain.mint(address, None, amount_minor)

    async def issue_token(self, address: str, amount_minor: int) -> str:
        contract = self.new_address()
        self.chain.tokens[contract] = Token(self.token_decimals, "T")
        self.chain.mint(address, contract, amount_minor)
        return contract

    async def make_reverting(self) -> str:
        """Return an address that refuses every payment."""
        address = self.new_address()
        self.chain.reverting.add(address)
        return address

    async def order_failure(self, sender: str) -> SignedTransaction:
        recipient = self.new_address()
        signed = await self.order(Payment(sender, recipient, None, self.some_minor))
        self.chain.reverting.add(recipient)
        return signed

    async def mine(self, count: int = 1) -> None:
        self.chain.mine(count)

    async def reorganise(self, depth: int) -> None:
        self.chain.pool.clear()
        self.chain.reorganise(depth, keep=False)
