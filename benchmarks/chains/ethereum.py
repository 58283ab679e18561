"""A block of Ethereum at its peak: recorded transactions that use 60 million gas, in 12 s.

Three recorded mainnet blocks again and again with their receipts, logs and traces, each time with
other hashes, until they fill the gas limit of the main network (60 million since November 2025).
"""

from __future__ import annotations

import hashlib
from itertools import count, cycle
from typing import Any

from chain_adapters.ethereum.decode import normalise_block
from chain_adapters.ethereum.reading import read_traces, split_parts
from chain_adapters.types import Block, NodeUnavailable
from tests.support.ethereum_vectors import batch_answer, encode, load_block, traces_of

SECONDS_OF_CHAIN = 12.0
GAS_LIMIT = 60_000_000
HEIGHTS = (16899757, 17053184, 11098450)

Json = dict[str, Any]


def digest(*parts: object) -> str:
    """Return a hash that is the same each time."""
    return "0x" + hashlib.sha256(repr(parts).encode()).hexdigest()


def recorded_parts() -> list[tuple[Json, Json, Json]]:
    """Return the recorded transactions with their receipts and root frames."""
    parts: list[tuple[Json, Json, Json]] = []
    for answers in map(load_block, HEIGHTS):
        transactions = answers["eth_getBlockByNumber"]["transactions"]
        receipts, frames = answers["eth_getBlockReceipts"], traces_of(answers)
        assert frames is not None
        parts += zip(transactions, receipts, frames, strict=True)
    return parts


def peak_block() -> list[bytes]:
    """Return the answers to the batch of block and receipts, and the one with the traces."""
    block_hash = digest("block")
    transactions: list[Json] = []
    receipts: list[Json] = []
    traces: list[Json] = []
    log_indexes, gas = count(), 0
    for number, (transaction, receipt, frame) in enumerate(cycle(recorded_parts())):
        gas += int(receipt["gasUsed"], 16)
        if gas > GAS_LIMIT:
            break
        own = {"blockHash": block_hash, "transactionIndex": hex(number)}
        hash_ = digest(number)
        logs = [
            {**log, **own, "transactionHash": hash_, "logIndex": hex(next(log_indexes))}
            for log in receipt["logs"]
        ]
        transactions.append({**transaction, **own, "hash": hash_})
        receipts.append({**receipt, **own, "transactionHash": hash_, "logs": logs})
        traces.append({"txHash": hash_, "result": frame})
    header = load_block(HEIGHTS[0])["eth_getBlockByNumber"]
    block = {**header, "hash": block_hash, "transactions": transactions}
    batch = batch_answer({"eth_getBlockByNumber": block, "eth_getBlockReceipts": receipts})
    return [batch, encode({"jsonrpc": "2.0", "id": 1, "result": traces})]


def decode(answers: list[bytes]) -> Block:
    """Return the block, as the adapter reads it."""
    batch, traces = answers
    block, receipts = split_parts(batch, 1, 2)
    if block is None or receipts is None:
        raise NodeUnavailable("there is no block")
    return normalise_block(block, receipts, read_traces(traces, 1))
