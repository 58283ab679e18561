"""Drives an Ethereum development node: money for nothing, blocks on demand, reorganisations."""

from __future__ import annotations

import json
import secrets

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from devstack.chains.chain import NodeError
from devstack.chains.http import JsonRpcChain
from devstack.paths import erc20_artifact

SUPPLY_MINOR = 10**36
TRANSFER_SELECTOR = keccak(text="transfer(address,uint256)")[:4]


class EthereumChain(JsonRpcChain):
    """A client of anvil's JSON-RPC that pays from the node's first unlocked account."""

    def __init__(self, rpc_url: str) -> None:
        super().__init__(rpc_url)
        self._bank = ""

    async def check(self) -> None:
        """NodeError unless the node says that it is anvil and has an unlocked account."""
        await self.call("anvil_nodeInfo")
        accounts = await self.call("eth_accounts")
        if not accounts:
            message = "it has no unlocked account"
            raise NodeError(message)
        self._bank = str(accounts[0])

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

    async def _send(self, **transaction: str) -> str:
        return str(await self.call("eth_sendTransaction", {"from": self._bank, **transaction}))
