"""From a node's answers to a Block. Pure, and the hot path of reading a chain.

Transfers are read from balances before and after each transaction, not from its instructions:
whatever program moved the money, in whatever inner call, shows there, and what a token's program
kept back does not. Indexes of transfers: "sol:<address>" for lamports, "spl:<mint>:<owner>" for
tokens, so that each address has at most one transfer of an asset in one transaction. They come
from the signed message alone and do not depend on the block.

Lamports of token accounts are rent, or wrapped SOL, which is a token: neither is a native
transfer. What the payer put into accounts made by the transaction counts as its fee.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import compress, count
from operator import ne

import msgspec

from chain_adapters.solana import wire
from chain_adapters.solana.programs import TOKEN_PROGRAMS, VOTE_PROGRAM
from chain_adapters.solana.wire import (
    WireBlock,
    WireHeader,
    WireKey,
    WireMeta,
    WireSigned,
    WireTokenBalance,
    WireTransaction,
)
from chain_adapters.types import Block, NodeUnavailable, Transaction, Transfer

NoteOdd = Callable[[str], None]
"""Told why a transaction was left out of its block."""


class OddTransaction(ValueError):
    """A transaction has a form that is not known. It is left out; the block is read."""


def skipped_id(blockhash: str, slot: int) -> str:
    """Return the id of a skipped slot: the hash of the last block before it, and the slot."""
    return f"{blockhash}/{slot}"


def parent_id(header: WireHeader, slot: int) -> str:
    """Return the id of the slot before a block's, which may have been skipped."""
    if header.parent_slot == slot - 1 or slot == 0:
        return header.previous_blockhash
    return skipped_id(header.previous_blockhash, slot - 1)


def skipped_slot(slot: int, successor: WireHeader) -> Block:
    """Return a slot without a block, as the next block's header proves it to be.

    Its time is the next block's and its clock the one of the block before.
    """
    parent = successor.previous_blockhash
    return Block(
        height=slot,
        block_id=skipped_id(parent, slot),
        parent_id=parent if successor.parent_slot == slot - 1 else skipped_id(parent, slot - 1),
        time=time_of(successor),
        transactions=(),
        clock=clock_of(successor) - 1,
    )


def time_of(header: WireHeader) -> int:
    """Return a block's time. NodeUnavailable if the node has none (yet)."""
    if header.block_time is None or header.block_time < 0:
        raise NodeUnavailable("the block has no time yet")
    return header.block_time


def clock_of(header: WireHeader) -> int:
    """Return a block's height, by which transactions expire. Skipped slots do not count in it."""
    if header.block_height is None:
        raise NodeUnavailable("the node does not tell the block's height")
    return header.block_height


class ReadTransaction(WireTransaction, gc=False):
    """A transaction that is normalised as soon as its bytes are read, and forgets them then.

    So a block takes one pass with little in memory, which is a sixth quicker than two.
    """

    made: Transaction | None = None

    def __post_init__(self) -> None:
        """Normalise. What is odd is a ValidationError of the whole block."""
        self.made = normalise_transaction(self)
        self.transaction, self.meta = _FORGOTTEN, None


class ReadBlock(WireHeader, kw_only=True):
    """A block in which every transaction has the usual form."""

    transactions: list[ReadTransaction]


_FORGOTTEN = WireSigned([], [])


def normalise_block(slot: int, block: ReadBlock | WireBlock, note_odd: NoteOdd) -> Block:
    """Return the Block. Votes that move nothing are left out, and so are odd transactions.

    NodeUnavailable if the block is not one of this slot, or if the node left out what it knows of
    a transaction: another node may tell.
    """
    if block.parent_slot >= slot > 0:
        raise NodeUnavailable("the node answered with the block of another slot")
    if isinstance(block, ReadBlock):
        made = [read.made for read in block.transactions]
    else:
        made = [normalise_element(element, note_odd) for element in block.transactions]
    return Block(
        height=slot,
        block_id=block.blockhash,
        parent_id=parent_id(block, slot),
        time=time_of(block),
        transactions=tuple([transaction for transaction in made if transaction is not None]),
        clock=clock_of(block),
    )


def normalise_element(element: msgspec.Raw, note_odd: NoteOdd) -> Transaction | None:
    """Return one transaction; None for a vote that moves nothing, and for what is odd."""
    try:
        return normalise_transaction(wire.decode_transaction(element))
    except (OddTransaction, msgspec.ValidationError) as odd:
        check_details(element)
        note_odd(str(odd))
        return None


def check_details(element: msgspec.Raw) -> None:
    """Raise NodeUnavailable if an odd transaction is one with its message, as "full" details have
    it: the node does not know "accounts", and would tell no transaction as it is read here.
    """
    with suppress(msgspec.ValidationError):
        wire.decode_foreign_transaction(element)
        raise NodeUnavailable('the node ignores transactionDetails "accounts"')


def normalise_transaction(read: WireTransaction) -> Transaction | None:
    """Return one transaction with the transfers that took effect, None for a vote that moves
    nothing.

    All accounts together lose the fee. NodeUnavailable if they lose less: what a fee or a balance
    is told too high would be credited. They lost more until 2025, while rent was still collected
    (SIMD-0084).
    """
    keys, id_, meta = read.transaction.account_keys, read.transaction.signatures[0], read.meta
    if meta is None:
        raise NodeUnavailable("the node keeps no outcomes of transactions")
    before, after = meta.pre_balances, meta.post_balances
    if not before or len(before) != len(after) or not keys:
        raise NodeUnavailable("the node leaves out balances of a transaction")
    payer, lost_minor = keys[0].pubkey, before[0] - after[0]
    idle = moves_nothing(meta)
    if meta.fee > (lost_minor if idle else sum(before) - sum(after)):
        raise NodeUnavailable("a transaction leaves more lamports than there were")
    if meta.err is not None:
        return Transaction(id_, payer, succeeded=False, fee_minor=lost_minor)
    if idle:
        if names_vote_program(keys):
            return None
        return Transaction(id_, payer, succeeded=True, fee_minor=lost_minor)
    if len(keys) != len(before):
        raise NodeUnavailable("the node leaves out accounts that a transaction loaded")
    fee_minor, transfers = native_transfers(keys, meta, token_positions(meta, len(keys)))
    transfers += token_transfers(meta)
    return Transaction(id_, payer, True, fee_minor, tuple(transfers))


def moves_nothing(meta: WireMeta) -> bool:
    """Whether no balance but the payer's can have changed. True of nearly all votes."""
    return (
        not meta.post_token_balances
        and not meta.pre_token_balances
        and meta.pre_balances[1:] == meta.post_balances[1:]
    )


def names_vote_program(keys: list[WireKey]) -> bool:
    """Whether a transaction can be a vote: all that its accounts tell is that it could be one."""
    return VOTE_PROGRAM in [key.pubkey for key in keys]


def native_transfers(
    keys: list[WireKey], meta: WireMeta, tokens: set[int]
) -> tuple[int, list[Transfer]]:
    """Return what the payer lost beside its transfers, and the transfers of lamports.

    `tokens` are the positions of accounts that hold tokens. The sender is told where there can be
    only one: the payer if nobody else lost anything and it lost enough, else the one other account
    that lost.
    """
    before, after = meta.pre_balances, meta.post_balances
    credited: list[tuple[str, int]] = []
    lost: list[tuple[str, int]] = []
    for position in compress(count(), map(ne, before, after)):
        if position and position not in tokens:
            gained = after[position] - before[position]
            if gained > 0:
                credited.append((keys[position].pubkey, gained))
            else:
                lost.append((keys[position].pubkey, -gained))
    payer, paid_minor = keys[0].pubkey, before[0] - after[0]
    total_minor = sum([amount for _, amount in credited])
    if not lost and paid_minor - meta.fee >= total_minor:
        return paid_minor - total_minor, make_transfers(payer, credited)
    if paid_minor < meta.fee:  # the payer received more than it lost: a token account closed, …
        credited.insert(0, (payer, meta.fee - paid_minor))
        total_minor += meta.fee - paid_minor
    sender = lost[0][0] if len(lost) == 1 and lost[0][1] >= total_minor else None
    return max(paid_minor, meta.fee), make_transfers(sender, credited)


def make_transfers(sender: str | None, credited: list[tuple[str, int]]) -> list[Transfer]:
    """Return the transfers of lamports from one sender."""
    return [
        Transfer(f"sol:{address}", sender, address, None, amount) for address, amount in credited
    ]


def token_positions(meta: WireMeta, accounts: int) -> set[int]:
    """Return the positions of those of the transaction's `accounts` that hold tokens, before or
    after. NodeUnavailable if balances before could be missing: they would be taken for 0.

    A node tells both lists or none, and each account at most once in a list.
    """
    before, after = meta.pre_token_balances, meta.post_token_balances
    if before is None or after is None:
        if before is not after:
            raise NodeUnavailable("the node tells token balances of one side only")
        return set()
    positions = {b.account_index for b in before}
    positions_after = {b.account_index for b in after}
    told_twice = len(positions) < len(before) or len(positions_after) < len(after)
    positions |= positions_after
    if told_twice or max(positions, default=0) >= accounts:
        raise NodeUnavailable("the node tells a token account twice, or one that is not there")
    return positions


def token_transfers(meta: WireMeta) -> list[Transfer]:
    """Return what each owner has more of each token: all its accounts of a mint taken together.

    An account that is not in one of the lists held nothing then. The sender is told where one
    owner alone has less.
    """
    changes: dict[tuple[str, str], int] = {}
    before, after = meta.pre_token_balances or (), meta.post_token_balances or ()
    added_after, added_before = add(changes, after, 1), add(changes, before, -1)
    if not (added_after and added_before):
        check_parties((*before, *after))
    senders: dict[str, str | None] = {}
    for (mint, owner), change in changes.items():
        if change < 0:
            senders[mint] = None if mint in senders else owner
    return [
        Transfer(f"spl:{mint}:{owner}", senders.get(mint), owner, mint, change)
        for (mint, owner), change in changes.items()
        if change > 0
    ]


def add(
    changes: dict[tuple[str, str], int], balances: Sequence[WireTokenBalance], sign: int
) -> bool:
    """Add balances in minor units to the sums of each (mint, owner); return whether it were all.

    Accounts of unknown programs hold no tokens. OddTransaction if an amount is no number.
    """
    all_added = True
    for balance in balances:
        if balance.program_id in TOKEN_PROGRAMS and balance.owner is not None:
            digits, holding = balance.ui_token_amount.amount, (balance.mint, balance.owner)
            if not (digits.isascii() and digits.isdigit()):
                raise OddTransaction(f"{digits!r} is no amount")
            changes[holding] = changes.get(holding, 0) + sign * int(digits)
        else:
            all_added = False
    return all_added


def check_parties(balances: Sequence[WireTokenBalance]) -> None:
    """Raise NodeUnavailable if owner or program are told of some balances and not of others: what
    an account held before would be taken for 0.
    """
    if len({(b.owner is None, b.program_id is None) for b in balances}) > 1:
        raise NodeUnavailable("the node does not tell whose all token balances are")
