"""What may be ours in blocks, before the database is asked. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from agents.parts.judge_transfer import Hit, memo_of
from agents.parts.watched_addresses import WatchedAddresses
from sql.addresses import OwnedAddress
from topics.blocks import BlockAdded, BlockRecord, TransactionRecord

Paid = tuple[BlockAdded, TransactionRecord]
"""A transaction that one of our addresses may have paid for."""


class Seen(NamedTuple):
    """What may be ours in blocks: all else certainly is not."""

    hits: list[Hit]
    paid: list[Paid]

    def addresses(self) -> list[str]:
        """Return the recipients, senders and payers."""
        addresses = {hit.transfer.address for hit in self.hits}
        addresses |= {hit.transfer.sender for hit in self.hits if hit.transfer.sender is not None}
        addresses |= {payment.payer for _, payment in self.paid if payment.payer is not None}
        return sorted(addresses)

    def within(self, blocks: Collection[tuple[int, str]]) -> Seen:
        """Return what is in these blocks (height, block id)."""
        return Seen(
            [hit for hit in self.hits if (hit.block.height, hit.block.block_id) in blocks],
            [paid for paid in self.paid if (paid[0].height, paid[0].block_id) in blocks],
        )


def probe(watched: WatchedAddresses, blocks: Sequence[BlockAdded]) -> Seen:
    """Return the transfers and payers in blocks that are perhaps ours.

    The hot path: nothing is made of a transfer before it is a hit.
    """
    transactions = [transaction for block in blocks for transaction in block.transactions]
    if not transactions:
        return Seen([], [])
    transfers = [transfer for transaction in transactions for transfer in transaction.transfers]
    received = watched.find([transfer.address for transfer in transfers])
    payers = watched.find([transaction.payer or "" for transaction in transactions])
    block_ends = list(accumulate(len(block.transactions) for block in blocks))

    def paid(position: int) -> Paid:
        return blocks[bisect_right(block_ends, position)], transactions[position]

    transfer_ends = list(accumulate(len(t.transfers) for t in transactions))
    return Seen(
        [Hit(*paid(bisect_right(transfer_ends, n)), transfers[n]) for n in received],
        [paid(n) for n in payers],
    )


def questionable(
    hits: Sequence[Hit], paid: Sequence[Paid], owned: Mapping[str, OwnedAddress]
) -> list[str]:
    """Return the transactions that may be our own payments.

    Of a transfer whose sender is known, that sender tells whether it is ours.
    """
    received = {
        hit.transaction.id
        for hit in hits
        if hit.transfer.sender is None and hit.transfer.address in owned
    }
    paid_for = {transaction.id for _, transaction in paid if transaction.payer in owned}
    return sorted(received | paid_for)


def memos_of(hits: Sequence[Hit], owned: Mapping[str, OwnedAddress]) -> list[tuple[str, str]]:
    """Return the (address, memo) of all that came to pooled addresses with a memo."""
    return sorted(
        {
            (hit.transfer.address, memo)
            for hit in hits
            if (memo := memo_of(hit.transfer)) is not None
            and hit.transfer.address in owned
            and owned[hit.transfer.address].purpose == "pooled"
        }
    )


def transfers_in(records: Sequence[BlockRecord]) -> int:
    """Return how many transfers there are in blocks."""
    return sum(
        len(transaction.transfers)
        for record in records
        if isinstance(record, BlockAdded)
        for transaction in record.transactions
    )
