"""A block goes to Kafka whole, in order, in records that Kafka takes."""

from __future__ import annotations

from agents.runtime.kafka_topics import RECORD_BYTES_MAX
from chain_adapters.types import Block, Transaction, Transfer
from topics.blocks import BLOCKS, TRANSACTIONS_MAX, TRANSFERS_MAX, block_added

ADDRESS = "0x" + 40 * "f"


def block_of(transfers: list[int]) -> Block:
    """A block of transactions with so many transfers, each as long as Ethereum writes them."""
    transactions = tuple(
        Transaction(
            f"0x{number:064x}",
            ADDRESS,
            True,
            10**17,
            tuple(
                Transfer(f"log:{n}", ADDRESS, ADDRESS, ADDRESS, 2**256 - 1) for n in range(count)
            ),
        )
        for number, count in enumerate(transfers)
    )
    return Block(7, "0x7", "0x6", 1, transactions)


def test_kafka_takes_every_record_of_a_block_that_is_full_of_transfers() -> None:
    """180 million gas of Transfer events at 1,756 each, the least that the EVM takes for one."""
    records = block_added("eip155:1", block_of([9_500] * 11))
    largest = max(len(BLOCKS.encode(record)) for record in records)
    assert largest < RECORD_BYTES_MAX / 4
    assert [len(record.transactions) for record in records] == [1] * 11


def test_parts_hold_all_transactions_once_and_in_order() -> None:
    counts = [0, TRANSFERS_MAX, 1, TRANSFERS_MAX + 5, 0, 2] + [0] * TRANSACTIONS_MAX
    block = block_of(counts)
    records = block_added("eip155:1", block)
    ids = [transaction.id for record in records for transaction in record.transactions]
    assert ids == [transaction.id for transaction in block.transactions]
    assert [(record.part, record.parts) for record in records] == [(n, 5) for n in range(5)]
    assert [len(record.transactions) for record in records] == [2, 1, 1, TRANSACTIONS_MAX, 2]


def test_a_block_without_transactions_is_one_record() -> None:
    [record] = block_added("eip155:1", block_of([]))
    assert (record.part, record.parts, record.transactions) == (0, 1, [])
