"""Drives a Core node in regtest: money from its wallet, blocks on demand, reorganisations."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import coincurve

from chain_adapters.litecoin.chains import REGTEST as OWN
from chain_adapters.types import Coin
from chain_adapters.utxo.address import address_of, derive_address, script_of
from chain_adapters.utxo.chain import UtxoChain
from devstack.chains.chain import NodeError
from devstack.chains.http import HttpChain

FEE_MINOR = 500
"""What the bank pays for a transaction: enough, and so little that the node's estimates, which come
from what it saw, leave other payments where they would be on a quiet network.
"""
DUST_MINOR = 10_000

_TRIES = 5
_EXPIRED_S = 2 * 3600
"""Transactions leave the development node's pool after an hour."""


def in_coins(amount_minor: int) -> str:
    """Return an amount as the RPC takes it."""
    return f"{amount_minor // 10**8}.{amount_minor % 10**8:08d}"


def in_minor(coins: str) -> int:
    """Return minor units of an amount as the RPC gives it, read as text."""
    whole, _, part = coins.partition(".")
    return int(whole) * 10**8 + int(part.ljust(8, "0") or "0")


class BitcoinChain(HttpChain):
    """A client of the node, which sees its addresses under the constants of `chain`."""

    timeout_s = 60.0

    def __init__(self, rpc_url: str, chain: UtxoChain) -> None:
        super().__init__(rpc_url)
        self._chain = chain

    async def check(self) -> None:
        """NodeError unless the node is on a chain of its own."""
        found = await self.call("getblockchaininfo")
        if found["chain"] != "regtest":
            raise NodeError("it is no development node")

    async def call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - any JSON
        """Return the result of one call, or raise NodeError. Amounts come as text."""
        body = {"id": 1, "method": method, "params": params}
        async with self._http.post(self._url, json=body) as answer:
            if answer.status not in {200, 404, 500}:
                raise NodeError(f"{method}: HTTP status {answer.status}")
            reply = await answer.json(loads=_loads)
        if reply["error"] is not None:
            raise NodeError(f"{method}: {reply['error']['message']}")
        return reply["result"]

    async def pay(
        self,
        address: str,
        amount_minor: int,
        memo: str | None = None,  # noqa: ARG002 - there are no memos
    ) -> str:
        """Send money from the node's wallet; return the transaction's id."""
        target = self._own_name(address)
        for _ in range(_TRIES):
            coin = await self._find_coin(amount_minor + FEE_MINOR)
            if coin is None:
                break
            try:
                return await self._pay_from(coin, target, amount_minor)
            except NodeError:  # another client has spent the coin meanwhile
                continue
        id_ = await self.call("sendtoaddress", target, in_coins(amount_minor))
        return await self._submit(str(id_))

    async def _find_coin(self, amount_minor: int) -> dict[str, Any] | None:
        """Return a coin of the wallet that holds so much.

        The wallet's own choice among hundreds of equal coins takes it a tenth of a second.
        """
        wanted = {"minimumAmount": in_coins(amount_minor), "maximumCount": 1}
        found = await self.call("listunspent", 0, 9_999_999, [], True, wanted)
        return found[0] if found else None

    async def _pay_from(self, coin: dict[str, Any], target: str, amount_minor: int) -> str:
        """Spend one coin; what is left goes back to its address."""
        left = in_minor(str(coin["amount"])) - amount_minor - FEE_MINOR
        outputs = [{target: in_coins(amount_minor)}]
        if left > DUST_MINOR:
            outputs.append({coin["address"]: in_coins(left)})
        spent = [{"txid": coin["txid"], "vout": coin["vout"]}]
        made = await self.call("createrawtransaction", spent, outputs)
        signed = await self.call("signrawtransactionwithwallet", made)
        return str(await self.call("sendrawtransaction", signed["hex"]))

    async def pay_many(self, amounts: dict[str, int]) -> str:
        """Send to several addresses in one transaction; return its id."""
        targets = {self._own_name(a): in_coins(minor) for a, minor in amounts.items()}
        return await self._submit(str(await self.call("sendmany", "", targets)))

    async def _submit(self, transaction_id: str) -> str:
        """The wallet sends nothing by itself, so that what a reorganisation lost stays lost."""
        found = await self.call("gettransaction", transaction_id)
        await self.call("sendrawtransaction", found["hex"])
        return transaction_id

    def _own_name(self, address: str) -> str:
        """Return what the node calls the script of an address."""
        name = address_of(OWN, script_of(self._chain, address))
        if name is None:
            raise AssertionError
        return name

    async def issue_token(self, symbol: str) -> str:
        """There are none."""
        raise NodeError(f"no {symbol}: {self._chain.name} has no tokens")

    async def pay_token(
        self,
        contract: str,
        address: str,  # noqa: ARG002
        amount_minor: int,  # noqa: ARG002
        memo: str | None = None,  # noqa: ARG002
    ) -> str:
        """There are none."""
        raise NodeError(f"no {contract}: {self._chain.name} has no tokens")

    async def new_recipient(self, contract: str | None = None) -> str:  # noqa: ARG002
        """Return a stranger's fresh address."""
        key = coincurve.PrivateKey(secrets.token_bytes(32))
        return derive_address(self._chain, key.public_key.format())

    async def mine(self, blocks: int = 1) -> None:
        """Mine blocks at once; the first takes what is in the pool."""
        await self.call("generatetoaddress", blocks, await self._fresh_name())

    async def mine_to(self, address: str) -> None:
        """Mine one block whose reward is somebody's."""
        await self.call("generatetoaddress", 1, self._own_name(address))

    async def reorganise(self, depth: int) -> None:
        """Replace the last `depth` blocks by empty ones; the pool is lost too."""
        first = await self.height() - depth + 1
        if first < 1:
            raise NodeError("a reorganisation leaves the first block alone")
        await self.call("invalidateblock", await self.call("getblockhash", first))
        await self.clear_pool()
        for _ in range(depth):
            await self.call("generateblock", await self._fresh_name(), [])

    async def clear_pool(self) -> None:
        """Forget what waits for a block.

        The node drops what is older than an hour when a block is undone, so it gets a block of a
        later time, and undoes it.
        """
        await self.call("setmocktime", int(time.time()) + _EXPIRED_S)
        try:
            made = await self.call("generateblock", await self._fresh_name(), [])
            await self.call("invalidateblock", made["hash"])
        finally:
            await self.call("setmocktime", 0)

    async def height(self) -> int:
        """Return the height of the tip."""
        return int(await self.call("getblockcount"))

    async def coins(self, address: str) -> list[Coin]:
        """Return the unspent outputs of an address in blocks."""
        script = script_of(self._chain, address).hex()
        found = await self.call("scantxoutset", "start", [f"raw({script})"])
        return [Coin(f"{u['txid']}:{u['vout']}", in_minor(u["amount"])) for u in found["unspents"]]

    async def _fresh_name(self) -> str:
        """Return a new address of the wallet: no two blocks are ever the same."""
        return str(await self.call("getnewaddress"))


def _loads(text: str) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(text, parse_float=str)
