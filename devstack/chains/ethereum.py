"""Drives an Ethereum development node: money for nothing, blocks on demand, reorganisations."""

from __future__ import annotations

import json
import secrets
from types import TracebackType
from typing import Any, Self

import aiohttp
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from devstack.chains.chain import NodeError
from devstack.paths import erc20_artifact

SUPPLY_MINOR = 10**36
TRANSFER_SELECTOR = keccak(text="transfer(address,uint256)")[:4]


class EthereumChain:
    """A client of anvil's JSON-RPC that pays from the node's first unlocked account."""

    def __init__(self, rpc_url: str) -> None:
        self._rpc_url = rpc_url
        self._http: aiohttp.ClientSession | None = None
        self._bank = ""

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        try:
            self._bank = await self._find_bank()
        except BaseException:
            await self._http.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - any JSON
        """Return the result of one call, or raise NodeError."""
        assert self._http is not None, "use it as a context manager"
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._http.post(self._rpc_url, json=body) as answer:
            reply = await answer.json()
        if "error" in reply:
            raise NodeError(f"{method}: {reply['error'].get('message')}")
        return reply["result"]

    async def pay(self, address: str, amount_minor: int, memo: str | None = None) -> str:  # noqa: ARG002 - there are no memos
        """Send native money from the bank; return the transaction's id."""
        return await self._send(to=address, value=hex(amount_minor))

    async def pay_token(
        self,
        contract: str,
        address: str,
        amount_minor: int,
        memo: str | None = None,  # noqa: ARG002 - there are no memos
    ) -> str:
        """Send a token from the bank; return the transaction's id."""
        arguments = encode(["address", "uint256"], [address, amount_minor])
        return await self._send(to=contract, data="0x" + (TRANSFER_SELECTOR + arguments).hex())

    async def new_recipient(self, contract: str | None = None) -> str:  # noqa: ARG002 - any asset
        """Return an address that nobody has the key of: any can be paid."""
        return "0x" + secrets.token_hex(20)

    async def issue_token(self, symbol: str) -> str:
        """Deploy an ERC-20 token with 18 decimals, all of it the bank's; return its contract."""
        artifact = json.loads(erc20_artifact().read_text())
        arguments = encode(
            ["string", "string", "uint256", "address"], [symbol, symbol, SUPPLY_MINOR, self._bank]
        )
        transaction_id = await self._send(data=artifact["bytecode"] + arguments.hex())
        await self.mine()  # it may be that transactions are not mined by themselves
        receipt = await self.call("eth_getTransactionReceipt", transaction_id)
        return str(receipt["contractAddress"]).lower()

    async def mine(self, blocks: int = 1) -> None:
        """Mine blocks at once."""
        await self.call("anvil_mine", hex(blocks))

    async def reorganise(self, depth: int) -> None:
        """Replace the last `depth` blocks by as many empty ones."""
        await self.call("anvil_reorg", depth, [])

    async def height(self) -> int:
        """Return the height of the tip."""
        return int(await self.call("eth_blockNumber"), 16)

    async def balance(self, address: str) -> int:
        """Return native minor units at the tip."""
        return int(await self.call("eth_getBalance", address, "latest"), 16)

    async def _find_bank(self) -> str:
        """NodeError unless the node says that it is anvil and has an unlocked account."""
        await self.call("anvil_nodeInfo")
        accounts = await self.call("eth_accounts")
        if not accounts:
            message = "it has no unlocked account"
            raise NodeError(message)
        return str(accounts[0])

    async def _send(self, **transaction: str) -> str:
        return str(await self.call("eth_sendTransaction", {"from": self._bank, **transaction}))
