"""Recorded and crafted answers of java-tron, and reading them as the adapter does."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from chain_adapters.tron import node
from chain_adapters.tron.decode import normalise_block
from chain_adapters.types import Block
from devstack.chains.tron_chain import make_block

FOLDER = Path(__file__).parents[1] / "vectors" / "tron"
NUMBER, TIME_MS = 70_000_000, 1_740_000_000_000
WITNESS = "41" + "3" * 40


def load(name: str) -> Any:  # noqa: ANN401 - any JSON
    """Return a recorded answer."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def encode(answer: object) -> bytes:
    """Return an answer as the node sends it."""
    return msgspec.json.encode(answer)


def read_block(block: object, infos: object, clock_ms: int = 0) -> Block:
    """Read a block and its infos as the adapter does."""
    answer = node.read(encode(block), node.decode_block)
    return normalise_block(answer, node.decode_infos(encode(infos)), clock_ms)


def wrap(transactions: list[dict[str, Any]], infos: list[dict[str, Any]]) -> tuple[Any, Any]:
    """Return a block with these transactions, and the infos as those of this block."""
    block = make_block(NUMBER, f"{NUMBER - 1:016x}" + "4" * 48, TIME_MS, "5" * 64, WITNESS)
    block["transactions"] = transactions
    place = {"blockNumber": NUMBER, "blockTimeStamp": TIME_MS}
    return block, [{**info, **place} for info in infos]


def identify(transaction: dict[str, Any], seed: str) -> dict[str, Any]:
    """Give a crafted transaction data of its own and the id that goes with it."""
    raw = seed.encode()
    return {**transaction, "raw_data_hex": raw.hex(), "txID": sha256(raw).hexdigest()}
