"""Posts entries to the journal in the caller's transaction: a batch in, a result per entry out.

One batch is a handful of statements however many entries it has: lock the accounts, look for
entries that are there already, decide in Python, write all lines at once. The database checks
everything again (sql/migrations/0002_ledger.sql); a refusal there is a fault in this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import asyncpg

import sql.ledger as tables
from ledger.chart import REORGANISED_CREDIT
from ledger.decide import Account, Key, Plan, StoredEntry, StoredLine, decide
from ledger.entries import AccountRef, Entry, PostResult
from ledger.validate import Validator, encode_metadata
from sql.pool import Connection

ATTEMPTS_MAX = 10


class _AccountsMissing(Exception):
    def __init__(self, refs: list[AccountRef]) -> None:
        super().__init__()
        self.refs = refs


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
    validator = Validator()
    problems = [validator.problem_of(entry) for entry in entries]
    valid = [entry for entry, problem in zip(entries, problems, strict=True) if not problem]
    may_open = True
    for _ in range(ATTEMPTS_MAX):
        try:
            # The savepoint lets locks go before accounts are opened, and undoes lost races.
            async with conn.transaction():
                accounts = await _lock(conn, valid, may_open=may_open)
                stored = await _find(conn, valid)
                plan = decide(entries, problems, accounts, stored)
                return plan.results_with_ids(await _write(conn, plan))
        except _AccountsMissing as missing:
            await tables.open_accounts(conn, *_columns(missing.refs))
            may_open = False
        except asyncpg.UniqueViolationError:
            # Another transaction took one of our keys for other accounts. It is visible now.
            continue
    raise RuntimeError(f"keys were taken by others {ATTEMPTS_MAX} times in a row")


async def _lock(
    conn: Connection, entries: Iterable[Entry], *, may_open: bool
) -> dict[AccountRef, Account]:
    refs: dict[AccountRef, None] = {}
    for entry in entries:
        for line in entry.lines:
            refs[line.debit] = refs[line.credit] = None
            if line.overflow is not None:
                refs[line.overflow] = None
    accounts = await _lock_refs(conn, list(refs))
    if may_open and len(accounts) < len(refs):
        raise _AccountsMissing([ref for ref in refs if ref not in accounts])
    return accounts | await _lock_refs(conn, _debts(entries, accounts))


def _debts(entries: Iterable[Entry], accounts: dict[AccountRef, Account]) -> list[AccountRef]:
    """Debts matter only where the credited account is frozen, which is rare: not locked else."""
    frozen = {ref for ref, account in accounts.items() if account.frozen_reason is not None}
    # An overflow earlier in the batch can freeze an account for an entry later in it; its debt
    # account is the overflow itself, locked already.
    return list(
        {
            line.repays: None
            for entry in entries
            for line in entry.lines
            if line.repays is not None and line.credit in frozen and line.repays not in accounts
        }
        if frozen
        else ()
    )


async def _lock_refs(conn: Connection, refs: list[AccountRef]) -> dict[AccountRef, Account]:
    if not refs:
        return {}
    return {
        (ref := refs[position - 1]): Account(ref, account_id, balance_minor, frozen_reason)
        for position, account_id, balance_minor, frozen_reason in await tables.lock_accounts(
            conn, *_columns(refs)
        )
    }


def _columns(refs: Sequence[AccountRef]) -> tuple[list[str], list[str], list[str], list[str]]:
    return (
        [ref.tenant for ref in refs],
        [ref.owner for ref in refs],
        [ref.asset for ref in refs],
        [ref.bucket for ref in refs],
    )


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
    numbers, lines, debited, credited, amounts, debited_after, credited_after = zip(
        *plan.lines, strict=True
    )
    entries = [plan.posted[number - 1] for number in numbers]
    entry_ids = await tables.write_lines(
        conn,
        entries=len(plan.posted),
        entry_numbers=numbers,
        lines=lines,
        debit_accounts=debited,
        credit_accounts=credited,
        amounts_minor=list(map(str, amounts)),
        debit_balances_after=list(map(str, debited_after)),
        credit_balances_after=list(map(str, credited_after)),
        tenants=[entry.tenant for entry in entries],
        kinds=[entry.kind for entry in entries],
        idempotency_keys=[entry.idempotency_key for entry in entries],
        reference_types=[entry.reference_type for entry in entries],
        reference_ids=[entry.reference_id for entry in entries],
        metadata=list(map(encode_metadata, entries)),
    )
    if plan.frozen:
        await tables.freeze_accounts(conn, sorted(plan.frozen), REORGANISED_CREDIT)
    if plan.unfrozen:
        await tables.unfreeze_accounts(conn, sorted(plan.unfrozen), REORGANISED_CREDIT)
    return entry_ids
