"""What a transfer to an address of ours is, by the rules of its asset. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

from sql.addresses import OwnedAddress
from sql.confirmations import confirmations_of
from sql.deposits import AssetPolicy, DepositPolicy, NewDeposit
from topics.blocks import BlockAdded, TransactionRecord, TransferRecord


class Hit(NamedTuple):
    """A transfer to an address that is watched."""

    block: BlockAdded
    transaction: TransactionRecord
    transfer: TransferRecord


class Known(NamedTuple):
    """What the database says of some transfers."""

    owned: Mapping[str, OwnedAddress]
    """Addresses of ours among recipients, senders and payers."""
    memos: Mapping[tuple[str, str], str]
    """Owners by pooled address and memo."""
    own_transactions: Set[str]
    """Those that are attempts at withdrawals of ours."""


def new_deposit(hit: Hit, known: Known, policy: DepositPolicy) -> NewDeposit:
    """Return the deposit that a transfer to an address of ours is."""
    block, transaction, transfer = hit
    mine = known.owned[transfer.address]
    asset = policy.assets.get(transfer.contract)
    ignored = reason_to_ignore(hit, known, asset)
    memo = memo_of(transfer)
    return NewDeposit(
        transaction.id,
        transfer.index,
        mine.tenant,
        known.memos.get((mine.address, memo or ""), mine.owner),
        mine.purpose,
        mine.address,
        transfer.sender,
        transfer.contract,
        None if asset is None else asset.asset,
        transfer.amount_minor,
        memo,
        block.height,
        block.block_id,
        ignored,
        block.height + confirmations_needed(transfer, ignored, asset, policy) - 1,
    )


def lists_all(
    policy: DepositPolicy | None, hits: Iterable[Hit], owned: Mapping[str, OwnedAddress]
) -> bool:
    """Whether the rules are there and name every token that came to addresses of ours."""
    return policy is not None and all(
        hit.transfer.contract in policy.assets for hit in hits if hit.transfer.address in owned
    )


def memo_of(transfer: TransferRecord) -> str | None:
    """Return the memo as Postgres can store it, which knows no character of code 0."""
    return transfer.memo and transfer.memo.replace("\0", "\N{REPLACEMENT CHARACTER}")


def reason_to_ignore(hit: Hit, known: Known, asset: AssetPolicy | None) -> str | None:
    """Return why a transfer is recorded and never credited, None if it will be."""
    _, transaction, transfer = hit
    mine = known.owned[transfer.address]
    if asset is None:
        return "unknown_token"
    by_us = transfer.sender is None and transaction.id in known.own_transactions
    if by_us or transfer.sender in known.owned:
        return "own_transfer"
    for_customers = mine.purpose in ("deposit", "pooled")
    if for_customers and int(transfer.amount_minor) < asset.minor_min:
        return "below_minimum"
    return None


def confirmations_needed(
    transfer: TransferRecord,
    ignored: str | None,
    asset: AssetPolicy | None,
    policy: DepositPolicy,
) -> int:
    """Return after how many confirmations the money may be relied on.

    Our own money that came back needs no more than the chain itself asks for.
    """
    if ignored == "own_transfer":
        return transfer.depth_min
    confirmations = policy.confirmations
    if asset is not None:
        confirmations = confirmations_of(asset.confirmations, int(transfer.amount_minor))
    return max(confirmations, transfer.depth_min)
