"""Recorded Ethereum blocks, in the form in which a node would answer."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from chain_adapters.ethereum import wire
from chain_adapters.ethereum.decode import normalise_block
from chain_adapters.ethereum.reading import read_traces
from chain_adapters.types import Block

FOLDER = Path(__file__).parent.parent / "vectors" / "ethereum"

TRACED = (468179, 4370006, 11098450, 13998626, 16899757, 17053184)
HEIGHTS = (*TRACED, 14000000, 22119617)


@cache
def load_block(height: int) -> dict[str, Any]:
    """Return the recorded answers: block, receipts, and traces where there are some."""
    answers: dict[str, Any] = json.loads(
        gzip.decompress((FOLDER / f"block_{height}.json.gz").read_bytes())
    )
    return answers


def traces_of(answers: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the root frames, one for each transaction."""
    frames: list[dict[str, Any]] | None = answers.get("debug_traceBlock_callTracer")
    return frames


def normalise_answers(answers: dict[str, Any], *, traced: bool = True) -> Block:
    """Let the adapter's decoder read the answers from their bytes."""
    block = wire.decode_block(encode(answers["eth_getBlockByNumber"]))
    receipts = wire.decode_receipts(encode(answers["eth_getBlockReceipts"]))
    assert block is not None
    assert receipts is not None
    frames = traces_of(answers) if traced else None
    traces = None
    if frames is not None:
        traces = read_traces(encode(traces_answer(frames)), 1)
    return normalise_block(block, receipts, traces)


def traces_answer(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer to debug_traceBlockByHash."""
    return {"jsonrpc": "2.0", "id": 1, "result": [{"result": frame} for frame in frames]}


def encode(answer: object) -> bytes:
    """Return JSON as it comes over the wire."""
    return json.dumps(answer, separators=(",", ":")).encode()


def batch_answer(answers: dict[str, Any], first_id: int = 1) -> bytes:
    """Return the answer to the batch that reads a block and its receipts."""
    methods = ("eth_getBlockByNumber", "eth_getBlockReceipts")
    return encode(
        [
            {"jsonrpc": "2.0", "id": first_id + i, "result": answers[method]}
            for i, method in enumerate(methods)
        ]
    )
