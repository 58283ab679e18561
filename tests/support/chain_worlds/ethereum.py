"""Ethereum on a real development node."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.types import Payment, SignedTransaction
from devstack.chains.anvil import Anvil
from devstack.paths import erc20_artifact
from tests.support.chain_worlds.world import World

REVERTING_CODE = "0x60006000fd"
"""PUSH1 0, PUSH1 0, REVERT: a contract that refuses everything."""


class AnvilWorld(World):
    """A real node that mines when told to."""

    kind = "ethereum"
    adapter: EthereumAdapter

    def __init__(self, anvil: Anvil, **changes: Any) -> None:  # noqa: ANN401
        super().__init__()
        self._url = anvil.rpc_url
        settings = {"poll_interval_s": 0.02, "push_url": anvil.push_url, **changes}
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

    async def deploy(self, code: str, amount_minor: int = 0) -> str:
        """Put a contract, with some ether, at a new address."""
        address = self.new_address()
        await self.call("anvil_setCode", address, code)
        await self.call("anvil_setBalance", address, hex(amount_minor))
        return address

    async def make_reverting(self) -> str:
        """Return an address that refuses every payment."""
        return await self.deploy(REVERTING_CODE)

    async def order_failure(self, sender: str) -> SignedTransaction:
        recipient = self.new_address()
        signed = await self.order(Payment(sender, recipient, None, self.some_minor))
        await self.call("anvil_setCode", recipient, REVERTING_CODE)
        return signed

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
