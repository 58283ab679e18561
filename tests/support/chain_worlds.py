"""Chains that tests can drive: one surface over the simulated chain and a real node."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import aclosing
from typing import Any

import aiohttp
import coincurve

from chain_adapters.adapter import ChainAdapter
from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.simulated import SimulatedAdapter, SimulatedChain
from chain_adapters.types import Payment, SignedTransaction, UnsignedTransaction
from devstack.anvil import Anvil
from devstack.paths import erc20_artifact

REVERTING_CODE = "0x60006000fd"
"""PUSH1 0, PUSH1 0, REVERT: a contract that refuses everything."""


class World(ABC):
    """One chain with its adapter, where a test mines, funds and reorganises."""

    adapter: ChainAdapter

    def __init__(self) -> None:
        self._keys: dict[str, coincurve.PrivateKey] = {}

    def new_address(self) -> str:
        """Return a fresh address whose key is kept."""
        key = coincurve.PrivateKey()
        address = self.adapter.derive_address(key.public_key.format())
        self._keys[address] = key
        return address

    def sign(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        """Sign with the sender's key."""
        key = self._keys[unsigned.payment.sender]
        payloads = unsigned.signing_payloads
        return self.adapter.assemble(
            unsigned, tuple(key.sign_recoverable(payload, hasher=None) for payload in payloads)
        )

    async def order(self, payment: Payment) -> SignedTransaction:
        """Quote, build and sign a payment."""
        quote = await self.adapter.quote(payment)
        return self.sign(self.adapter.build(payment, quote, quote.next_nonce))

    @abstractmethod
    async def fund(self, address: str, amount_minor: int) -> None:
        """Give native money out of nothing, in a block of its own or in none."""

    @abstractmethod
    async def issue_token(self, address: str, amount_minor: int) -> str:
        """Make a token, all of it held by the address; return its contract."""

    @abstractmethod
    async def make_reverting(self) -> str:
        """Return an address that refuses every payment."""

    @abstractmethod
    async def stop_reverting(self, address: str, *, again: bool = False) -> None:
        """Let a reverting address take payments, or refuse them again."""

    @abstractmethod
    async def mine(self, count: int = 1) -> None:
        """Mine blocks; the first takes what is in the pool."""

    @abstractmethod
    async def reorganise(self, depth: int) -> None:
        """Replace the last blocks by as many others, without their transactions."""

    async def height(self) -> int:
        """Return the tip's height."""
        async with aclosing(self.adapter.watch_tip()) as tips:
            return (await anext(tips)).height

    async def close(self) -> None:
        """Release connections."""
        await self.adapter.close()


class SimulatedWorld(World):
    """The chain in memory."""

    adapter: SimulatedAdapter

    def __init__(self) -> None:
        super().__init__()
        self.chain = SimulatedChain()
        self.adapter = SimulatedAdapter(self.chain)

    async def fund(self, address: str, amount_minor: int) -> None:
        self.chain.mint(address, None, amount_minor)

    async def issue_token(self, address: str, amount_minor: int) -> str:
        contract = self.new_address()
        self.chain.mint(address, contract, amount_minor)
        return contract

    async def make_reverting(self) -> str:
        address = self.new_address()
        self.chain.reverting.add(address)
        return address

    async def stop_reverting(self, address: str, *, again: bool = False) -> None:
        self.chain.reverting.discard(address)
        if again:
            self.chain.reverting.add(address)

    async def mine(self, count: int = 1) -> None:
        self.chain.mine(count)

    async def reorganise(self, depth: int) -> None:
        self.chain.pool.clear()
        self.chain.reorganise(depth, keep=False)


class AnvilWorld(World):
    """A real node that mines when told to."""

    adapter: EthereumAdapter

    def __init__(self, anvil: Anvil, **changes: Any) -> None:  # noqa: ANN401
        super().__init__()
        self._url = anvil.rpc_url
        settings = {"poll_interval_s": 0.02, "websocket_url": anvil.websocket_url, **changes}
        self.adapter = EthereumAdapter(f"eip155:{anvil.chain_id}", [anvil.rpc_url], **settings)
        self._session = aiohttp.ClientSession()

    async def call(self, method: str, *params: object) -> Any:  # noqa: ANN401
        """Call the node directly."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._session.post(self._url, json=body) as response:
            answer = await response.json()
        assert "error" not in answer, answer
        return answer["result"]

    async def fund(self, address: str, amount_minor: int) -> None:
        await self.call("anvil_setBalance", address, hex(amount_minor))
        await self.mine()

    async def issue_token(self, address: str, amount_minor: int) -> str:
        code = json.loads(erc20_artifact().read_text())["bytecode"]
        words = [f"{128:064x}", f"{192:064x}", f"{amount_minor:064x}", address[2:].rjust(64, "0")]
        names = [f"{1:064x}" + "54".ljust(64, "0")] * 2
        accounts = await self.call("eth_accounts")
        made = {"from": accounts[0], "data": code + "".join(words + names), "gas": "0x2dc6c0"}
        id_ = await self.call("eth_sendTransaction", made)
        await self.mine()
        receipt = await self.call("eth_getTransactionReceipt", id_)
        assert receipt["status"] == "0x1"
        return str(receipt["contractAddress"])

    async def make_reverting(self) -> str:
        address = self.new_address()
        await self.call("anvil_setCode", address, REVERTING_CODE)
        return address

    async def stop_reverting(self, address: str, *, again: bool = False) -> None:
        await self.call("anvil_setCode", address, REVERTING_CODE if again else "0x")

    async def mine(self, count: int = 1) -> None:
        for _ in range(count):
            await self.call("evm_mine")

    async def reorganise(self, depth: int) -> None:
        await self.call("anvil_dropAllTransactions")
        await self.call("anvil_reorg", depth, [])

    async def close(self) -> None:
        await super().close()
        await self._session.close()


async def open_anvil_world(anvil: Anvil, **changes: Any) -> AnvilWorld:  # noqa: ANN401
    """Return a world in which nothing is mined by itself."""
    world = AnvilWorld(anvil, **changes)
    await world.call("evm_setAutomine", False)
    return world
