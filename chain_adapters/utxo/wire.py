"""The parts of a node's JSON that are read, as typed records.

Field names: Bitcoin Core's RPC, 0.14 (Dogecoin Core 1.14) to 30, and where it differs btcd's, 0.26.
Amounts come as decimals of whole coins and are read as such, never as floats. Everything not named
here is skipped without being decoded: no odd script, witness or comment can trip the reader.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec

Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
TransactionId = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
"""Its digits are checked with the merkle root, as a pattern takes long for so many."""
Count = Annotated[int, msgspec.Meta(ge=0)]

_COINS_MAX = Decimal(10**12)
_DECIMALS = 8


class WireScript(msgspec.Struct, gc=False):
    """A script; of its forms only the bytes are taken."""

    hex: str


class WirePrevout(msgspec.Struct, gc=False, rename="camel"):
    """The output that an input spends (verbosity 3, Core 23 and later)."""

    value: Decimal
    script_pub_key: WireScript


class WireInput(msgspec.Struct, gc=False):
    """An input. Litecoin's MWEB inputs have no txid."""

    coinbase: str | None = None
    txid: TransactionId | None = None
    vout: Count = 0
    prevout: WirePrevout | None = None


class WireOutput(msgspec.Struct, gc=False, rename="camel"):
    """An output. Litecoin's MWEB outputs have neither value nor number."""

    value: Decimal | None = None
    n: int | None = None
    script_pub_key: WireScript | None = None


class WireTransaction(msgspec.Struct, gc=False):
    """A transaction of a block at verbosity 2 or 3; `fee` since Core 22."""

    txid: TransactionId
    vin: list[WireInput]
    vout: list[WireOutput]
    fee: Decimal | None = None


class WireBlock(msgspec.Struct):
    """A block at verbosity 2 or 3. Block 0 has no parent. btcd has its transactions in `rawtx`."""

    hash: Hash
    height: Count
    merkleroot: Hash
    time: Count
    tx: list[WireTransaction] = []
    rawtx: list[WireTransaction] = []
    previousblockhash: Hash = "0" * 64


class WireChain(msgspec.Struct):
    """Answer of getblockchaininfo."""

    blocks: Count
    bestblockhash: Hash


class WireUnspent(msgspec.Struct, rename="camel"):
    """One output of scantxoutset or listunspent."""

    script_pub_key: str
    amount: Decimal


class WireScan(msgspec.Struct):
    """Answer of scantxoutset."""

    success: bool
    unspents: list[WireUnspent]


class WireEstimate(msgspec.Struct):
    """Answer of estimatesmartfee: coins per 1,000 virtual bytes, -1 or nothing if unknown."""

    feerate: Decimal | None = None


class WirePool(msgspec.Struct):
    """Answer of getmempoolinfo. Fee rates in coins per 1,000 virtual bytes."""

    mempoolminfee: Decimal = Decimal(0)


class WireNode(msgspec.Struct):
    """Answer of getnetworkinfo. Fee rates in coins per 1,000 virtual bytes."""

    relayfee: Decimal = Decimal(0)
    incrementalfee: Decimal = Decimal(0)


class WirePlace(msgspec.Struct):
    """Answer of getrawtransaction: in which block it is, none if it waits for one.

    An index keeps blocks that left the best chain; what they carry has no confirmations.
    """

    blockhash: Hash | None = None
    confirmations: int = 0


class WireWatched(msgspec.Struct):
    """Answer of getaddressinfo, or of validateaddress before 0.17."""

    ismine: bool = False
    iswatchonly: bool = False


decode_block = msgspec.json.Decoder(WireBlock).decode
decode_transaction = msgspec.json.Decoder(WireTransaction).decode
decode_chain = msgspec.json.Decoder(WireChain).decode
decode_scan = msgspec.json.Decoder(WireScan).decode
decode_unspents = msgspec.json.Decoder(list[WireUnspent]).decode
decode_estimate = msgspec.json.Decoder(WireEstimate).decode
decode_rate = msgspec.json.Decoder(Decimal).decode
decode_pool = msgspec.json.Decoder(WirePool).decode
decode_node = msgspec.json.Decoder(WireNode).decode
decode_place = msgspec.json.Decoder(WirePlace).decode
decode_watched = msgspec.json.Decoder(WireWatched).decode
decode_hash = msgspec.json.Decoder(Hash).decode
decode_text = msgspec.json.Decoder(str).decode


def minor_of(coins: Decimal) -> int:
    """Return an amount in minor units. ValueError if it is negative, endless or not exact."""
    if not (coins.is_finite() and 0 <= coins <= _COINS_MAX):
        raise ValueError("a node's amount is none")
    minor = int(coins.scaleb(_DECIMALS))
    if Decimal(minor).scaleb(-_DECIMALS) != coins:
        raise ValueError("a node's amount has parts of the minor unit")
    return minor
