"""Finds accounts by name, opens the missing ones, locks them."""

from __future__ import annotations

from collections.abc import Sequence

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


async def open_accounts(conn: Connection, refs: Sequence[AccountRef]) -> None:
    """Open the accounts that do not exist; unknown tenants and assets are left out.

    Opening waits for others that open the same accounts, so it comes before any is locked.
    """
    if missing := [ref for ref in refs if ref not in _remembered]:
        found = await _find(conn, missing)
        if unopened := [ref for ref in missing if ref not in found]:
            await tables.open_accounts(conn, *_columns(unopened))


async def lock_accounts(conn: Connection, refs: Sequence[AccountRef]) -> dict[AccountRef, Account]:
    """Lock accounts in one order and return what they hold; those that do not exist are left out.

    Raises RememberedInVain if what was known of them is outdated.
    """
    ids = await _ids_of(conn, refs)
    locked = await tables.lock_accounts(conn, list(ids)) if ids else []
    if len(locked) < len(ids):
        for ref in refs:
            _remembered.pop(ref, None)
        raise RememberedInVain
    return {
        (ref := ids[account_id]): Account(ref, account_id, int(balance_minor), frozen_reason)
        for account_id, balance_minor, frozen_reason in locked
    }


async def _ids_of(conn: Connection, refs: Sequence[AccountRef]) -> dict[int, AccountRef]:
    ids = {account_id: ref for ref in refs if (account_id := _remembered.get(ref)) is not None}
    if len(ids) < len(refs):
        known = set(ids.values())
        found = await _find(conn, [ref for ref in refs if ref not in known])
        _remember(found)
        ids |= {account_id: ref for ref, account_id in found.items()}
    return ids


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
