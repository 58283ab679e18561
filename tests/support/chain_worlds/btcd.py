"""Bitcoin on btcd, a node that shares no code with Bitcoin Core: only where one is at hand.

`make btcd` fetches it and holds the adapter to the contract on it. btcd has no wallet: the money
comes from blocks that are mined to a key of ours.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import coincurve
import msgspec

from chain_adapters.bitcoin.chains import REGTEST
from chain_adapters.types import Coin, Payment, Quote, SignedTransaction
from chain_adapters.utxo.adapter import UtxoAdapter
from chain_adapters.utxo.address import derive_address, script_of
from chain_adapters.utxo.base58 import hash_twice
from chain_adapters.utxo.pay import Bid
from chain_adapters.utxo.plain import PlainBlock
from chain_adapters.utxo.raw import read_block
from devstack.process import Server
from tests.support.chain_worlds.world import World, sign_payload

VARIABLE = "MILLRACE_BTCD"
"""Names the program."""
BLOCKS = 200
"""Mined at the start: what the first half of them paid can be spent."""

_BANK = coincurve.PrivateKey(b"\7" * 32)
_CONFIG = """\
[Application Options]
regtest=1
notls=1
nolisten=1
txindex=1
rpcuser=millrace
rpcpass={password}
rpclisten=127.0.0.1:{port}
miningaddr={bank}
datadir={folder}/data
logdir={folder}/logs
"""


class Btcd(Server):
    """One btcd in regtest, without TLS, which it allows on the loopback interface only."""

    name = "btcd"

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.password = secrets.token_hex(16)
        self.bank = derive_address(REGTEST, _BANK.public_key.format())

    @property
    def rpc_url(self) -> str:
        """JSON-RPC over HTTP, with user and password."""
        return f"http://millrace:{self.password}@127.0.0.1:{self.port}"

    def call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - any JSON
        """Call the node. AssertionError if it says no, OSError if it is not there."""
        token = base64.b64encode(f"millrace:{self.password}".encode()).decode()
        body = {"jsonrpc": "1.0", "id": 1, "method": method, "params": params}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}",
            data=json.dumps(body).encode(),
            headers={"authorization": f"Basic {token}"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert answer["error"] is None, answer["error"]
        return answer["result"]

    def _prepare(self) -> None:
        config = self.data_dir / "btcd.conf"
        config.touch(mode=0o600)
        config.write_text(
            _CONFIG.format(
                password=self.password, port=self.port, bank=self.bank, folder=self.data_dir
            )
        )

    def _command(self) -> list[str]:
        return [os.environ[VARIABLE], f"--configfile={self.data_dir / 'btcd.conf'}"]

    def _answers(self) -> bool:
        try:
            self.call("getblockcount")
        except (OSError, ValueError):
            return False
        return True


class BtcdWorld(World):
    """The node, which mines when told to."""

    kind = "bitcoin"
    has_tokens = False
    funds_minor = 5 * 10**8
    some_minor = 10**7

    def __init__(self, node: Btcd) -> None:
        super().__init__()
        self._node = node
        self.adapter: UtxoAdapter = UtxoAdapter(
            (REGTEST,),
            REGTEST.network,
            [node.rpc_url],
            native_symbol="BTC",
            poll_interval_s=0.02,
        )

    async def call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - any JSON
        """Call the node directly."""
        return await asyncio.to_thread(self._node.call, method, *params)

    async def read_blocks(self, heights: range) -> list[PlainBlock]:
        """Read blocks from their bytes."""
        blocks = []
        for height in heights:
            id_ = await self.call("getblockhash", height)
            content = bytes.fromhex(await self.call("getblock", id_, 0))
            blocks.append(read_block(content, id_, height, merge_mined=False))
        return blocks

    async def coins(self, address: str) -> list[Coin]:
        script = script_of(REGTEST, address)
        found: dict[str, Coin] = {}
        for block in await self.read_blocks(range(BLOCKS, await self.height() + 1)):
            for transaction in block.transactions:
                for id_, number in transaction.spends:
                    found.pop(f"{id_}:{number}", None)
                for number, output in enumerate(transaction.outputs):
                    if output is not None and output.script == script:
                        id_ = f"{transaction.id}:{number}"
                        found[id_] = Coin(id_, output.amount_minor)
        return list(found.values())

    async def balance(self, address: str, contract: str | None, height: int) -> int:
        """btcd finds no outputs by their script: they are added up from its blocks."""
        assert contract is None
        assert height
        return sum(coin.amount_minor for coin in await self.coins(address))

    async def fund(self, address: str, amount_minor: int) -> None:
        payment = Payment(self._node.bank, address, None, amount_minor)
        quote = Quote(0, None, msgspec.json.encode(Bid(10_000, 1_000)), None, None)
        coin = await self._mined_coin()
        unsigned = self.adapter.build(payment, quote, None, coins=[coin])
        signatures = tuple(sign_payload(_BANK, p) for p in unsigned.signing_payloads)
        signed = self.adapter.assemble(unsigned, signatures)
        await self.call("sendrawtransaction", signed.raw.hex())
        await self.mine()

    async def _mined_coin(self) -> Coin:
        """Return an unspent output of the oldest blocks, which no test undoes."""
        for height in range(1, BLOCKS // 2):
            [block] = await self.read_blocks(range(height, height + 1))
            id_ = block.transactions[0].id
            if await self.call("gettxout", id_, 0, False):
                [output] = [o for o in block.transactions[0].outputs if o and o.amount_minor]
                return Coin(f"{id_}:0", output.amount_minor)
        raise AssertionError("all that was mined is spent")

    async def issue_token(self, address: str, amount_minor: int) -> str:
        raise AssertionError("there are no tokens")

    async def order_failure(self, sender: str) -> SignedTransaction:
        raise AssertionError("what fails is in no block")

    async def mine(self, count: int = 1) -> None:
        await self.call("generate", count)

    async def reorganise(self, depth: int) -> None:
        """Put empty blocks in the place of others, whose transactions wait again."""
        fork = await self.height() - depth
        await self.call("invalidateblock", await self.call("getblockhash", fork + 1))
        for height in range(fork + 1, fork + depth + 1):
            header = await self.call("getblockheader", await self.call("getbestblockhash"))
            refused = await self.call("submitblock", empty_block(header, height).hex())
            assert refused is None, refused


def empty_block(parent: dict[str, Any], height: int) -> bytes:
    """Return a block that has its own coinbase alone, which pays to nobody's script."""
    number = height.to_bytes(2, "little")
    entry = bytes((len(number),)) + number + b"\x08" + secrets.token_bytes(8)
    paid = bytes(8) + b"\x01\x51"
    spent = bytes(32) + b"\xff" * 4 + bytes((len(entry),)) + entry + b"\xff" * 4
    coinbase = b"\1\0\0\0\1" + spent + b"\1" + paid + bytes(4)
    head = (0x20000000).to_bytes(4, "little") + bytes.fromhex(parent["hash"])[::-1]
    head += hash_twice(coinbase) + int(parent["time"] + 1).to_bytes(4, "little")
    head += bytes.fromhex(parent["bits"])[::-1]
    for nonce in range(2**16):
        header = head + nonce.to_bytes(4, "little")
        if hash_twice(header)[31] < 0x7F:
            return header + b"\1" + coinbase
    raise AssertionError("half of all numbers do")


async def open_btcd_world(node: Btcd) -> BtcdWorld:
    """Return a world on a node that runs."""
    if await asyncio.to_thread(node.call, "getblockcount") < BLOCKS:
        await asyncio.to_thread(node.call, "generate", BLOCKS)
    return BtcdWorld(node)
