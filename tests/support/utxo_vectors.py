"""Recorded blocks of Bitcoin and Dogecoin, and crafted ones, as nodes answer with them."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from chain_adapters.types import Block, Transaction
from chain_adapters.utxo import raw, wire
from chain_adapters.utxo.base58 import hash_twice
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.decode import normalise_block, normalise_transactions
from chain_adapters.utxo.plain import PlainBlock, merkle_root, plain_block, plain_transaction

FOLDER = Path(__file__).parent.parent / "vectors"


@cache
def load_text(name: str) -> str:
    """Return a recorded file's text, unpacked."""
    content = (FOLDER / name).read_bytes()
    return (gzip.decompress(content) if name.endswith(".gz") else content).decode()


def load(name: str) -> Any:  # noqa: ANN401
    """Return recorded JSON; its decimals are text."""
    return json.loads(load_text(name), parse_float=str)


class Number(float):
    """A decimal that is written as it was read."""

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __repr__(self) -> str:
        return self.text


def load_exactly(name: str) -> Any:  # noqa: ANN401
    """Return recorded JSON that `encode` writes again digit by digit."""
    return json.loads(load_text(name), parse_float=Number)


def encode(answer: object) -> bytes:
    """Return JSON as it comes over the wire."""
    return json.dumps(answer, separators=(",", ":")).encode()


def read_json(chain: UtxoChain, content: bytes) -> Block:
    """Read a block of verbosity 2 or 3 as the adapter does."""
    return normalise_block(chain, plain_block(wire.decode_block(content)))


def read_json_transaction(chain: UtxoChain, answer: object) -> Transaction:
    """Read one transaction out of its block."""
    decoded = wire.decode_transaction(encode(answer))
    return normalise_transactions(chain, [plain_transaction(decoded)])[0]


def raw_id(content: bytes) -> str:
    """Return the id of a raw block, as its first 80 bytes say."""
    return hash_twice(content[:80])[::-1].hex()


def read_plain(chain: UtxoChain, content: bytes, height: int = 1) -> PlainBlock:
    """Read a raw block."""
    return raw.read_block(content, raw_id(content), height, merge_mined=chain.merge_mined)


def read_raw(chain: UtxoChain, content: bytes, height: int = 1) -> Block:
    """Read a raw block as the adapter does."""
    return normalise_block(chain, read_plain(chain, content, height))


COINBASE = {"txid": "0f" * 32, "vin": [{"coinbase": "00"}], "vout": []}


def json_block(*others: dict[str, Any], height: int = 100) -> bytes:
    """Return a crafted block at verbosity 3 whose merkle root is right.

    A coinbase transaction that pays nobody comes first, unless there is one.
    """
    has_coinbase = "coinbase" in others[0]["vin"][0]
    transactions = others if has_coinbase else (COINBASE, *others)
    return encode(
        {
            "hash": "b" * 64,
            "confirmations": 1,
            "height": height,
            "merkleroot": merkle_root([transaction["txid"] for transaction in transactions]),
            "time": 1_700_000_000,
            "previousblockhash": "a" * 64,
            "tx": list(transactions),
        }
    )


def raw_block(*transactions: bytes, version: int = 0x20000000, proof: bytes = b"") -> bytes:
    """Return a crafted raw block whose merkle root is right. `proof` stands behind the header."""
    ids = [hash_twice(transaction)[::-1].hex() for transaction in transactions]
    header = version.to_bytes(4, "little") + bytes(32) + bytes.fromhex(merkle_root(ids))[::-1]
    header += (1_700_000_000).to_bytes(4, "little") + bytes(8)
    return header + proof + bytes((len(transactions),)) + b"".join(transactions)


def raw_transaction(
    *outputs: tuple[int, bytes], spends: str = "c" * 64, script: bytes = b""
) -> bytes:
    """Return crafted bytes of a transaction with one input. An id of zeros makes it a coinbase."""
    content = (2).to_bytes(4, "little") + b"\x01" + bytes.fromhex(spends)[::-1] + bytes(4)
    content += bytes((len(script),)) + script + b"\xff" * 4 + bytes((len(outputs),))
    for amount_minor, output in outputs:
        content += amount_minor.to_bytes(8, "little") + bytes((len(output),)) + output
    return content + bytes(4)
