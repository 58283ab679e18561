"""Blocks of a chain as follow_chain read them, in the order of the chain.

A large block is published in parts. Readers ask the blocks table whether a block is canonical
(still), so repeats and stale records do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable
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
"""Transactions in one part: keeps a usual record below Kafka's usual limit of 1 MiB."""
TRANSFERS_MAX = 10_000
"""Transfers in one part of several transactions: some 2 MB. Our topics take 16 MiB, and whoever
fills a block with nothing but transfers would else stop the network."""


def block_added(network: str, block: Block) -> list[BlockAdded]:
    """Return the records of one block, at least one."""
    parts = split_parts(block.transactions)
    return [
        BlockAdded(
            network,
            block.height,
            block.block_id,
            block.parent_id,
            block.time,
            number,
            len(parts),
            [_transaction_record(transaction) for transaction in part],
        )
        for number, part in enumerate(parts)
    ]


def split_parts(transactions: Iterable[Transaction]) -> list[list[Transaction]]:
    """Return the transactions of each part, at least one part, no transaction torn apart. Pure."""
    parts: list[list[Transaction]] = [[]]
    transfers = 0
    for transaction in transactions:
        transfers += len(transaction.transfers)
        full = len(parts[-1]) == TRANSACTIONS_MAX or transfers > TRANSFERS_MAX
        if full and parts[-1]:
            parts.append([])
            transfers = len(transaction.transfers)
        parts[-1].append(transaction)
    return parts


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
