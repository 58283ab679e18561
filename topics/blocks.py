"""Blocks of a chain as follow_chain read them, in the order of the chain.

A large block is published in parts. Readers ask the blocks table whether a block is canonical
(still), so repeats and stale records do no harm.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from chain_adapters.types import Block, Transaction
from topics.topic import Topic, json_decoder


class TransferRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A transfer; see chain_adapters.types.Transfer. The amount is a decimal string."""

    index: str
    sender: str | None
    address: str
    contract: str | None
    amount_minor: str
    memo: str | None
    depth_min: int = 1


class TransactionRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A transaction; see chain_adapters.types.Transaction."""

    id: str
    payer: str | None
    succeeded: bool
    fee_minor: str | None
    transfers: list[TransferRecord]
    returns: str | None = None


class BlockAdded(msgspec.Struct, frozen=True, tag="added", tag_field="event"):
    """A block joined the best chain. `part` counts from 0; the last one is `parts` - 1."""

    network: str
    height: int
    block_id: str
    parent_id: str
    time: int
    part: int
    parts: int
    transactions: list[TransactionRecord]


class BlockRemoved(msgspec.Struct, frozen=True, tag="removed", tag_field="event"):
    """A block left the best chain by a reorganisation; the newest one is removed first."""

    network: str
    height: int
    block_id: str


BlockRecord: TypeAlias = BlockAdded | BlockRemoved

BLOCKS: Topic[BlockRecord] = Topic(
    name="blocks",
    key="network",
    decode=json_decoder(BlockRecord),  # type: ignore[arg-type]
)

TRANSACTIONS_MAX = 1000
"""Transactions in one part: keeps a record below Kafka's usual limit of 1 MiB."""


def block_added(network: str, block: Block) -> list[BlockAdded]:
    """Return the records of one block, at least one."""
    rows = [_transaction_record(transaction) for transaction in block.transactions]
    chunks = [rows[i : i + TRANSACTIONS_MAX] for i in range(0, len(rows), TRANSACTIONS_MAX)] or [[]]
    return [
        BlockAdded(
            network,
            block.height,
            block.block_id,
            block.parent_id,
            block.time,
            part,
            len(chunks),
            chunk,
        )
        for part, chunk in enumerate(chunks)
    ]


def _transaction_record(transaction: Transaction) -> TransactionRecord:
    return TransactionRecord(
        transaction.id,
        transaction.payer,
        transaction.succeeded,
        None if transaction.fee_minor is None else str(transaction.fee_minor),
        [
            TransferRecord(
                t.index,
                t.sender,
                t.address,
                t.contract,
                str(t.amount_minor),
                t.memo,
                t.depth_min,
            )
            for t in transaction.transfers
        ],
        transaction.returns,
    )
