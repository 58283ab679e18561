"""Posts entries to the journal in the caller's transaction: a batch in, a result per entry out.

One batch is a handful of statements however many entries it has: lock the accounts, decide in
Python while the lines are being written. The database checks everything again
(sql/migrations/0002_ledger.sql); what it refuses, but for a key that is taken, is a fault here.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

import asyncpg
from prometheus_client import Counter

import sql.ledger as tables
from ledger.accounts import RememberedInVain, find_accounts, lock_accounts, open_accounts
from ledger.chart import DEBTS, REORGANISED_CREDIT
from ledger.decide import Account, Decider, Key, Plan, PlannedLine, StoredEntry, StoredLine
from ledger.entries import AccountRef, Entry, PostResult
from ledger.validate import encode_metadata, problem_of_accounts, problem_of_content
from metrics import catalogue
from sql.ledger import NO_METADATA, JournalLine
from sql.pool import Connection

ATTEMPTS_MAX = 10
CHUNK_ENTRIES = 100
"""The server writes one chunk while the next is decided."""
FEW_ENTRIES = 20
"""So many are written by a statement: COPY asks once more before it is any quicker."""


class Count(Protocol):
    """Raises a counter once the caller's transaction commits."""

    def __call__(self, counter: Counter, amount: float = 1, /) -> None:
        """Raise `counter` by `amount`."""
        ...


async def post(
    conn: Connection, entries: Sequence[Entry], count: Count | None = None
) -> list[PostResult]:
    """Post entries in order and return their results in the same order.

    `count` is told how many had which outcome.

    Each entry is posted whole or not at all, and a refused one does not touch the others. The
    caller commits; until then the touched accounts are locked for everyone else. Entries with
    the same key from different transactions wait for each other, and one is posted.

    Callers should use READ COMMITTED, and call this once in a transaction: locks are taken in one
    order within a call, so two calls in one transaction can meet another's in a deadlock, which
    Postgres ends with asyncpg.DeadlockDetectedError; the transaction may be repeated.

    Raises RuntimeError outside a transaction. Any other error ends the caller's transaction.
    """
    if not conn.is_in_transaction():
        raise RuntimeError("post() needs the caller's transaction")
    problems = list(map(problem_of_accounts, entries))
    valid = [entry for entry, problem in zip(entries, problems, strict=True) if not problem]
    # Keys are looked up only when there is a reason, a refused entry or a key that is taken,
    # because nearly all batches are new from end to end and looking costs a tenth of the time.
    look_up = False
    for _ in range(ATTEMPTS_MAX):
        ids = await open_accounts(conn, _touched(valid))
        await conn.execute("SAVEPOINT posting")  # a taken key undoes no more than what follows
        try:
            accounts, entry_ids = await _lock(conn, valid, ids)
            stored = await _find(conn, valid) if look_up else {}
            decider = Decider(accounts, stored, entry_ids)
            chunks = _decide(decider, entries, problems, refusing=look_up)
            await _write(conn, decider.plan, chunks, few=len(entries) <= FEW_ENTRIES)
        except (asyncpg.UniqueViolationError, RememberedInVain, _RefusedUnseen):
            await conn.execute("ROLLBACK TO SAVEPOINT posting")
        else:
            if count is not None:
                _count(entries, decider.plan.results, count)
            return decider.plan.results
        look_up = True
    raise RuntimeError(f"others took the keys {ATTEMPTS_MAX} times in a row")


def _count(entries: Sequence[Entry], results: Sequence[PostResult], count: Count) -> None:
    outcomes = collections.Counter(
        (entry.kind, result.outcome) for entry, result in zip(entries, results, strict=True)
    )
    for labels, times in outcomes.items():
        count(catalogue.ledger_entries_total.labels(*labels), times)


class _RefusedUnseen(Exception):
    """An entry is refused, but its key was not looked up: it may be a duplicate."""


def _decide(
    decider: Decider, entries: Sequence[Entry], problems: Sequence[str], *, refusing: bool
) -> Iterator[Sequence[PlannedLine]]:
    """Decide chunk by chunk and yield the new lines. Raise _RefusedUnseen unless `refusing`."""
    lines = decider.plan.lines
    for start in range(0, len(entries), CHUNK_ENTRIES):
        chunk = slice(start, start + CHUNK_ENTRIES)
        done = len(lines)
        decider.run(entries[chunk], _problems(entries[chunk], problems[chunk]))
        if decider.plan.refused and not refusing:
            raise _RefusedUnseen
        yield lines[done:]


def _problems(entries: Sequence[Entry], known: Sequence[str]) -> list[str]:
    """Return what is wrong with each entry, "" if nothing is; some of it is known already."""
    return [
        problem or problem_of_content(entry) for entry, problem in zip(entries, known, strict=True)
    ]


def _touched(entries: Iterable[Entry]) -> list[AccountRef]:
    """Return every account the entries name, but for debts that may have to be repaid."""
    refs: dict[AccountRef, None] = {}
    for entry in entries:
        for line in entry.lines:
            refs[line.debit] = refs[line.credit] = None
            if line.overflow is not None:
                refs[line.overflow] = None
    return list(refs)


async def _lock(
    conn: Connection, entries: Sequence[Entry], ids: dict[AccountRef, int]
) -> tuple[dict[AccountRef, Account], list[int]]:
    """Lock what the entries touch: first everything but debts by id, then debts by id.

    Return the accounts, and an entry id for each entry that comes after all of theirs.
    """
    debts = {ref: ids.pop(ref) for ref in list(ids) if ref.bucket in DEBTS}
    accounts, entry_ids = await lock_accounts(conn, ids, len(entries))
    frozen = {ref for ref, account in accounts.items() if account.frozen_reason is not None}
    if frozen:
        debts |= await find_accounts(conn, _debts_of(frozen, entries))
    if debts:
        owed, entry_ids = await lock_accounts(conn, debts, len(entries))
        accounts |= owed
    return accounts, entry_ids


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
    """Look for the entries' keys, if they can be any. Only right once the accounts are locked."""
    sound = [entry for entry in entries if not problem_of_content(entry)]
    keys = list({(entry.tenant, entry.idempotency_key): None for entry in sound})
    found = await tables.find_entries(conn, keys)
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


async def _write(
    conn: Connection, plan: Plan, chunks: Iterable[Sequence[PlannedLine]], *, few: bool
) -> None:
    """Write the lines of a plan that grows chunk by chunk, then freeze and unfreeze."""
    rows = (map(_row, chunk) for chunk in chunks)
    if few:
        await tables.insert_lines(conn, list(chain.from_iterable(rows)))
    else:
        await tables.write_lines(conn, rows)
    if plan.frozen:
        await tables.freeze_accounts(conn, sorted(plan.frozen), REORGANISED_CREDIT)
    if plan.unfrozen:
        await tables.unfreeze_accounts(conn, sorted(plan.unfrozen), REORGANISED_CREDIT)


def _row(planned: PlannedLine) -> JournalLine:
    entry = planned.entry
    return (
        planned.entry_id,
        planned.line,
        planned.debit_account,
        planned.credit_account,
        planned.amount_minor,
        planned.debit_balance_after,
        planned.credit_balance_after,
        entry.tenant,
        planned.asset,
        entry.kind,
        entry.idempotency_key,
        entry.reference_type,
        entry.reference_id,
        NO_METADATA if entry.metadata is None else encode_metadata(entry) or NO_METADATA,
    )
