"""TON on the development node."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pytoniq_core import Cell, begin_cell

from chain_adapters.rpc import Endpoint
from chain_adapters.ton import wallet
from chain_adapters.ton.adapter import TonAdapter
from chain_adapters.ton.decode import Held
from chain_adapters.types import (
    Block,
    BroadcastOutcome,
    Payment,
    SignedTransaction,
    Transaction,
    Transfer,
)
from devstack.chains.ton import TonChain, TonNode
from tests.support.chain_worlds.world import Key, World, new_key, public_key_of
from tests.support.ton_vectors import boc


class TonWorld(World):
    """A node that makes a block when told to. Every wallet has a key of its own."""

    kind = "ton"
    reorganises = False
    funds_minor = 10**12
    some_minor = 10**7
    adapter: TonAdapter

    def __init__(self, node: TonNode, chain: TonChain, **changes: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.chain = chain
        self._node = node
        self._changes: dict[str, Any] = {"poll_interval_s": 0.02, **changes}
        self._paths: list[tuple[Key, str]] = []
        self._retired: list[TonAdapter] = []
        self.open_adapter()

    def open_adapter(self, *contracts: str) -> None:
        """Take a new adapter that reads these jettons and knows all wallets so far."""
        if hasattr(self, "adapter"):
            self._retired.append(self.adapter)
        self.adapter = TonAdapter(
            "ton:sandbox", [self._node.rpc_url], contracts=contracts, **self._changes
        )
        for key, path in self._paths:
            self.adapter.derive_address(public_key_of(key), path)

    def new_address(self) -> str:
        key, path = new_key(self.adapter.key_scheme), self.adapter.key_path(0, len(self._keys))
        address = self.adapter.derive_address(public_key_of(key), path)
        self._keys[address] = key
        self._paths.append((key, path))
        return address

    async def fund(self, address: str, amount_minor: int) -> None:
        await self.chain.pay(address, amount_minor)
        await self.mine()

    async def issue_token(self, address: str, amount_minor: int) -> str:
        contract = await self.chain.issue_token("T")
        self.open_adapter(contract)
        await self.chain.pay_token(contract, address, amount_minor)
        await self.mine()
        return contract

    async def mine(self, count: int = 1) -> None:
        await self.chain.mine(count)

    async def reorganise(self, depth: int) -> None:
        await self.chain.reorganise(depth)

    async def order_failure(self, sender: str) -> SignedTransaction:
        """The wallet still takes the message, but has no longer what it is to send."""
        payment = Payment(sender, self.new_address(), None, self.funds_minor // 2)
        signed = await self.order(payment)
        await self.chain.drive("set-balance", address=sender, amount=str(self.funds_minor // 4))
        return signed

    async def read(self, height: int) -> Block:
        """Return a block that is there."""
        block = await self.adapter.fetch_block(height)
        assert block is not None
        return block

    async def transactions_since(self, height: int) -> list[Transaction]:
        """Return the transactions of all blocks above a height."""
        blocks = [await self.read(h) for h in range(height + 1, await self.height() + 1)]
        return [t for block in blocks for t in block.transactions]

    async def transfers_to(self, address: str, height: int) -> list[Transfer]:
        """Return what came to an address in blocks above a height."""
        found = await self.transactions_since(height)
        return [t for x in found for t in x.transfers if t.address == address]

    async def explained(self, addresses: set[str], since: int) -> dict[str, int]:
        """Return by how much blocks say that native balances changed."""
        found: defaultdict[str, int] = defaultdict(int)
        for transaction in await self.transactions_since(since):
            found[transaction.payer or ""] -= transaction.fee_minor or 0
            for t in transaction.transfers:
                if t.contract is None:
                    found[t.sender or ""] -= t.amount_minor
                    found[t.address] += t.amount_minor
        return {address: found[address] for address in addresses}

    async def send(self, payment: Payment) -> SignedTransaction:
        """Broadcast a payment."""
        signed = await self.order(payment)
        answer = await self.adapter.broadcast(signed)
        assert answer.outcome is BroadcastOutcome.ACCEPTED, answer.detail
        return signed

    async def deploy(self, code: Cell, address: str | None = None) -> str:
        """Put a contract at its own or any other address."""
        data = begin_cell().end_cell()
        address = address or f"0:{wallet.state_init(code, data).hash.hex()}"
        await self.chain.drive("deploy", address=address, code=boc(code), data=boc(data))
        await self.mine()
        return address

    async def jetton_wallet(self, token: str, owner: str) -> str:
        """Return where an owner's jettons are."""

        async def ask(endpoint: Endpoint) -> str:
            return await self.adapter._tokens.wallet_of(endpoint, token, owner)

        return await self.adapter._rpc.first(ask)

    async def owner_told_by(self, address: str) -> Held | None:
        """Return whose jetton wallet a contract says to be, if its master agrees."""

        async def ask(endpoint: Endpoint) -> Held | None:
            return await self.adapter._tokens._ask_owner(endpoint, address)

        return await self.adapter._rpc.first(ask)

    async def close(self) -> None:
        for adapter in self._retired:
            await adapter.close()
        await super().close()
        await self.chain.__aexit__(None, None, None)


async def open_ton_world(node: TonNode, **changes: Any) -> TonWorld:  # noqa: ANN401
    """Return a world in which nothing is mined by itself, and no time passes unless told to.

    Accounts pay for storage by the second: a test would lose a nanoton now and then.
    """
    chain = await TonChain(node.base_url).__aenter__()
    await chain.drive("freeze-clock")
    return TonWorld(node, chain, **changes)
