"""Posts entries to the journal in the caller's transaction: a batch in, a result per entry out.

One batch is a handful of statements however many entries it has: lock the accounts, decide in
Python, write all lines at once. The database checks everything again
(sql/migrations/0002_ledger.sql); what it refuses, but for a key that is taken, is a fault here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

import asyncpg

import sql.ledger as tables
from ledger.accounts import RememberedInVain, lock_accounts, open_accounts
from ledger.chart import BUCKETS, REORGANISED_CREDIT
from ledger.decide import Account, Key, Plan, StoredEntry, StoredLine, decide
from ledger.entries import AccountRef, Entry, PostResult
from ledger.validate import encode_metadata, problem_of
from sql.pool import Connection

ATTEMPTS_MAX = 10


async def post(conn: Connection, entries: Sequence[Entry]) -> list[PostResult]:
    """Post entries in order and return their results in the same order.

    Each entry is posted whole or not at all, and a refused one does not touch the others. The
    caller commits; until then the touched accounts are locked for everyone else. Entries with
    the same key from different transactions wait for each other, and one is posted.

    Callers should use READ COMMITTED, and call this once in a transaction: locks are taken in one
    order within a call, so two calls in one transaction can meet another's in a deadlock, which
    Postgres ends with asyncpg.DeadlockDetectedError; the transaction may be repeated.

    Raises RuntimeError outside a transaction.
    """
    if not conn.is_in_transaction():
        raise RuntimeError("post() needs the caller's transaction")
    problems = list(map(problem_of, entries))
    valid = [entry for entry, problem in zip(entries, problems, strict=True) if not problem]
    # Keys are looked up only when there is a reason, a refused entry or a key that is taken,
    # because nearly all batches are new from end to end and looking costs a tenth of the time.
    look_up = False
    for _ in range(ATTEMPTS_MAX):
        with contextlib.suppress(asyncpg.UniqueViolationError, RememberedInVain):
            async with conn.transaction():  # a savepoint: a taken key undoes no more than this
                accounts = await _lock(conn, valid)
                stored = await _find(conn, valid) if look_up else {}
                plan = decide(entries, problems, accounts, stored)
                if look_up or not plan.refused:
                    return plan.results_with_ids(await _write(conn, plan))
        look_up = True
    raise RuntimeError(f"others took the keys {ATTEMPTS_MAX} times in a row")


async def _lock(conn: Connection, entries: Sequence[Entry]) -> dict[AccountRef, Account]:
    """Lock what the entries touch: first everything but debts by id, then debts by id."""
    refs: dict[AccountRef, None] = {}
    for entry in entries:
        for line in entry.lines:
            refs[line.debit] = refs[line.credit] = None
            if line.overflow is not None:
                refs[line.overflow] = None
    await open_accounts(conn, list(refs))
    debts = {ref: None for ref in refs if BUCKETS[ref.bucket].is_debt}
    accounts = await lock_accounts(conn, [ref for ref in refs if ref not in debts])
    frozen = {ref for ref, account in accounts.items() if account.frozen_reason is not None}
    if frozen:
        debts |= _debts_of(frozen, entries)
    return accounts | await lock_accounts(conn, list(debts)) if debts else accounts


def _debts_of(frozen: set[AccountRef], entries: Iterable[Entry]) -> dict[AccountRef, None]:
    """Return the debts that a credit to a frozen account repays; others are not even looked up.

    An entry can freeze an account for a later one of its batch, but then its overflow is the debt
    and is locked anyway.
    """
    return {
        line.repays: None
        for entry in entries
        for line in entry.lines
        if line.repays is not None and line.credit in frozen
    }


async def _find(conn: Connection, entries: Sequence[Entry]) -> dict[Key, StoredEntry]:
    """Look for the entries' keys. Only right once the accounts are locked."""
    keys = list({(entry.tenant, entry.idempotency_key): None for entry in entries})
    found = await tables.find_entries(conn, [key[0] for key in keys], [key[1] for key in keys])
    stored: dict[Key, StoredEntry] = {}
    for row in found:
        key = keys[row.position - 1]
        entry = stored.setdefault(key, StoredEntry(row.entry_id, row.kind, []))
        entry.lines.append(
            StoredLine(
                AccountRef(key[0], row.debit_owner, row.asset, row.debit_bucket),
                AccountRef(key[0], row.credit_owner, row.asset, row.credit_bucket),
                row.amount_minor,
            )
        )
    return stored


async def _write(conn: Connection, plan: Plan) -> list[int]:
    """Write the plan; return the ids of the posted entries."""
    if not plan.lines:
        return []
    entry_ids = await tables.reserve_entry_ids(conn, len(plan.posted))
    numbers, lines, assets, debited, credited, amounts, debited_after, credited_after = zip(
        *plan.lines, strict=True
    )
    entries = [plan.posted[number] for number in numbers]
    await tables.write_lines(
        conn,
        entry_ids=[entry_ids[number] for number in numbers],
        lines=lines,
        debit_accounts=debited,
        credit_accounts=credited,
        amounts_minor=amounts,
        debit_balances_after=debited_after,
        credit_balances_after=credited_after,
        tenants=[entry.tenant for entry in entries],
        assets=assets,
        kinds=[entry.kind for entry in entries],
        idempotency_keys=[entry.idempotency_key for entry in entries],
        reference_types=[entry.reference_type for entry in entries],
        reference_ids=[entry.reference_id for entry in entries],
        metadata=[encode_metadata(entry) for entry in entries],
    )
    if plan.frozen:
        await tables.freeze_accounts(conn, sorted(plan.frozen), REORGANISED_CREDIT)
    if plan.unfrozen:
        await tables.unfreeze_accounts(conn, sorted(plan.unfrozen), REORGANISED_CREDIT)
    return entry_ids
