"""Finds accounts by name, opens the missing ones, locks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sql.ledger as tables
from ledger.decide import Account
from ledger.entries import AccountRef
from sql.pool import Connection

REMEMBERED_MAX = 200_000
"""Some 60 MB. The oldest are forgotten first; those in use come back at once."""

_remembered: dict[AccountRef, int] = {}
"""Ids seen in this process. Ids are random and never change hands, so one that does not exist in a
database is the worst that can be wrong, and locking notices that."""


class RememberedInVain(Exception):
    """A remembered account is not in this database. It is forgotten now."""


async def open_accounts(conn: Connection, refs: Sequence[AccountRef]) -> dict[AccountRef, int]:
    """Return the ids of accounts, opening those that do not exist.

    Unknown tenants and assets are left out. Opening waits for others that open the same accounts,
    so it comes before any is locked.
    """
    ids = {ref: account_id for ref in refs if (account_id := _remembered.get(ref))}
    if len(ids) < len(refs):
        unknown = [ref for ref in refs if ref not in ids]
        rows = await tables.open_accounts(conn, *_columns(unknown))
        found = {AccountRef(*names): account_id for account_id, *names in rows}
        _remember(found)
        ids |= found
        if len(found) < len(unknown):  # opened by others while we did
            ids |= await find_accounts(conn, [ref for ref in unknown if ref not in found])
    return ids


async def find_accounts(conn: Connection, refs: Iterable[AccountRef]) -> dict[AccountRef, int]:
    """Return the ids of those accounts that exist, or did when they were last seen."""
    known = {ref: _remembered.get(ref, 0) for ref in refs}
    if unknown := [ref for ref, account_id in known.items() if not account_id]:
        found = await _find(conn, unknown)
        _remember(found)
        known |= found
        return {ref: account_id for ref, account_id in known.items() if account_id}
    return known


async def lock_accounts(
    conn: Connection, ids: Mapping[AccountRef, int], entries: int
) -> tuple[dict[AccountRef, Account], list[int]]:
    """Lock accounts in one order; return what they hold, and so many entry ids reserved afterwards.

    Raises RememberedInVain if one of them does not exist.
    """
    locked, entry_ids = await tables.lock_accounts(conn, list(ids.values()), entries)
    refs = {account_id: ref for ref, account_id in ids.items()}
    accounts = {
        (ref := refs[account_id]): Account(ref, account_id, int(balance_minor), frozen_reason)
        for account_id, balance_minor, frozen_reason in locked
    }
    if len(accounts) < len(ids):
        for ref in ids:
            _remembered.pop(ref, None)
        raise RememberedInVain
    return accounts, entry_ids


async def _find(conn: Connection, refs: Sequence[AccountRef]) -> dict[AccountRef, int]:
    rows = await tables.find_accounts(conn, *_columns(refs))
    return {refs[position - 1]: account_id for position, account_id in rows}


def _remember(found: dict[AccountRef, int]) -> None:
    _remembered.update(found)
    while len(_remembered) > REMEMBERED_MAX:
        del _remembered[next(iter(_remembered))]


def _columns(refs: Sequence[AccountRef]) -> tuple[list[str], list[str], list[str], list[str]]:
    return (
        [ref.tenant for ref in refs],
        [ref.owner for ref in refs],
        [ref.asset for ref in refs],
        [ref.bucket for ref in refs],
    )
