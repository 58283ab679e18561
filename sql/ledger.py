"""The ledger's tables: locking, writing and reading them. Amounts are int minor units."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from sql.arrays import array_literal
from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("ledger")

WHOLE_JOURNAL_S = 86_400.0
"""Reading the whole journal may take longer than workers wait for any other statement."""
_NULL = "\x01"
"""NULL in COPY: a character that no printable text has."""


JournalLine: TypeAlias = tuple[int, int, int, int, int, int, int, str, str, str, str, str, str, str]
"""A line to write: the values of LINE_COLUMNS. Metadata is JSON, or NO_METADATA."""

LINE_COLUMNS: Final = (
    "entry_id",
    "line",
    "debit_account",
    "credit_account",
    "amount_minor",
    "debit_balance_after",
    "credit_balance_after",
    "tenant",
    "asset",
    "kind",
    "idempotency_key",
    "reference_type",
    "reference_id",
    "metadata",
)
NO_METADATA: Final = _NULL
_ROW: Final = "\t".join(["%s"] * len(LINE_COLUMNS)) + "\n"


class FoundLine(NamedTuple):
    """A line of an entry that is in the journal already."""

    position: int
    entry_id: int
    kind: str
    debit_owner: str
    debit_bucket: str
    credit_owner: str
    credit_bucket: str
    asset: str
    amount_minor: int


class Balance(NamedTuple):
    """What an owner has in one asset. total = available + locked + pending."""

    asset: str
    available_minor: int
    locked_minor: int
    pending_minor: int
    total_minor: int
    receivable_minor: int
    frozen_at: datetime.datetime | None
    frozen_reason: str | None
    version: int


class Freeze(NamedTuple):
    """Whether an owner's available money in one asset may leave, and what the owner owes in it."""

    frozen_at: datetime.datetime | None
    frozen_reason: str | None
    frozen_by: str | None
    """The operator; None if it is not frozen, or frozen for a debt."""
    receivable_minor: int


class StatementLine(NamedTuple):
    """One posting of an account."""

    entry_id: int
    line: int
    kind: str
    side: str
    amount_minor: int
    balance_after_minor: int
    reference_type: str
    reference_id: str
    created_at: datetime.datetime


class TrialBalance(NamedTuple):
    """Debits and credits of one tenant in one asset; the difference is always 0."""

    tenant: str
    asset: str
    debits_minor: int
    credits_minor: int
    difference_minor: int


class Imbalance(NamedTuple):
    """Debits and credits of one tenant in one asset that differ."""

    tenant: str
    asset: str
    difference_minor: int


class WrongAccount(NamedTuple):
    """An account whose balance is not the sum of its journal, both in minor units.

    A side that does not exist is None.
    """

    account_id: int
    tenant: str | None
    owner: str | None
    asset: str | None
    bucket: str | None
    balance_minor: int | None
    journal_minor: int | None


class WrongPosting(NamedTuple):
    """The first posting of an account whose running balance does not follow from the one before."""

    entry_id: int
    line: int
    tenant: str
    owner: str
    asset: str
    bucket: str
    balance_minor: int
    """What the posting says."""
    following_minor: int
    """What the posting before it and its amount make."""


async def open_accounts(
    conn: Connection,
    tenants: Sequence[str],
    owners: Sequence[str],
    assets: Sequence[str],
    buckets: Sequence[str],
) -> list[tuple[int, str, str, str, str]]:
    """Return (account id, tenant, owner, asset, bucket), opening the accounts that do not exist.

    Left out are those of unknown tenants and assets, and what somebody else opens at this moment.
    """
    rows = await _queries.open_accounts(
        conn, tenants=tenants, owners=owners, assets=assets, buckets=buckets
    )
    return [tuple(row) for row in rows]


async def find_accounts(
    conn: Connection,
    tenants: Sequence[str],
    owners: Sequence[str],
    assets: Sequence[str],
    buckets: Sequence[str],
) -> list[tuple[int, int]]:
    """Return (position from 1, account id) of those accounts that exist."""
    rows = _queries.find_accounts(
        conn, tenants=tenants, owners=owners, assets=assets, buckets=buckets
    )
    return [(position, account_id) async for position, account_id in rows]


async def lock_accounts(
    conn: Connection, account_ids: Sequence[int], entries: int
) -> tuple[Iterable[tuple[int, str, str | None]], list[int]]:
    """Lock accounts until the transaction ends; then reserve so many new entry ids.

    Returns (account id, balance as text, why it is frozen) of each account that exists, and the
    entry ids, ascending.
    """
    row = await _queries.lock_accounts(
        conn, account_ids=array_literal(account_ids), entries=entries
    )
    return zip(*row[:3], strict=True), row[3]


async def find_entries(conn: Connection, keys: Sequence[tuple[str, str]]) -> list[FoundLine]:
    """Return the lines of those entries that exist, by tenant and idempotency key, in order."""
    if not keys:
        return []
    tenants, idempotency_keys = zip(*keys, strict=True)
    rows = _queries.find_entries(conn, tenants=tenants, idempotency_keys=idempotency_keys)
    return [FoundLine._make((*head, int(amount))) async for *head, amount in rows]


async def insert_lines(conn: Connection, lines: Sequence[JournalLine]) -> None:
    """Append a few lines to the journal, as write_lines does; quicker up to some thirty."""
    if not lines:
        return
    columns = dict(zip(LINE_COLUMNS, zip(*lines, strict=True), strict=True))
    columns["metadata"] = tuple(
        None if text == NO_METADATA else text for text in columns["metadata"]
    )
    await _queries.insert_lines(
        conn, **{name: array_literal(column) for name, column in columns.items()}
    )


async def write_lines(conn: Connection, chunks: Iterable[Iterable[JournalLine]]) -> None:
    """Append lines to the journal; triggers carry them into the balances.

    The server takes one chunk in while the next is made; an error in making one undoes them all.
    COPY takes less than half the time of INSERT with unnest. Texts must be printable. Raises
    asyncpg.UniqueViolationError if a key is taken, and asyncpg.IntegrityConstraintViolationError
    if the database finds anything else wrong.
    """
    await conn.copy_to_table(
        "journal_lines", source=_encode(chunks), columns=LINE_COLUMNS, null=_NULL
    )


async def _encode(chunks: Iterable[Iterable[JournalLine]]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        text = "".join([_ROW % line for line in chunk])
        yield text.replace("\\", "\\\\").encode()


async def freeze_accounts(conn: Connection, account_ids: Sequence[int], reason: str) -> None:
    """Stop money from leaving accounts; one frozen already keeps its reason."""
    await _queries.freeze_accounts(conn, account_ids=account_ids, reason=reason)


async def unfreeze_accounts(conn: Connection, account_ids: Sequence[int], reason: str) -> None:
    """Let go of those accounts that were frozen for this reason."""
    await _queries.unfreeze_accounts(conn, account_ids=account_ids, reason=reason)


async def freeze_account(
    conn: Connection,
    tenant: str,
    owner: str,
    *,
    asset: str,
    reason: str,
    frozen_by: str | None = None,
) -> None:
    """Stop an owner's available money in one asset from leaving, whatever froze it before."""
    await open_accounts(conn, [tenant], [owner], [asset], ["available"])
    await _queries.freeze_account(
        conn, tenant=tenant, owner=owner, asset=asset, reason=reason, frozen_by=frozen_by
    )


async def unfreeze_account(
    conn: Connection, tenant: str, owner: str, *, asset: str, debt_reason: str
) -> None:
    """Let an owner's available money go; whoever still owes stays frozen for `debt_reason`."""
    async with conn.transaction():
        await lock_available(conn, tenant, owner, asset=asset)  # before the debt is looked at
        await _queries.unfreeze_account(
            conn, tenant=tenant, owner=owner, asset=asset, debt_reason=debt_reason
        )


async def lock_available(conn: Connection, tenant: str, owner: str, *, asset: str) -> None:
    """Let nobody post to or freeze an owner's available money before this transaction ends."""
    await _queries.lock_available(conn, tenant=tenant, owner=owner, asset=asset)


async def fetch_freeze(conn: Connection, tenant: str, owner: str, *, asset: str) -> Freeze:
    """Return whether an owner's available money may leave. It may if there never was any."""
    row = await _queries.fetch_freeze(conn, tenant=tenant, owner=owner, asset=asset)
    if row is None:
        return Freeze(None, None, None, 0)
    *head, receivable = row
    return Freeze._make((*head, int(receivable)))


async def fetch_balances(conn: Connection, tenant: str, owner: str) -> list[Balance]:
    """Return what an owner has, by asset. Empty if nothing was ever posted."""
    rows = _queries.fetch_balances(conn, tenant=tenant, owner=owner)
    return [
        Balance._make((asset, *map(int, amounts), frozen_at, frozen_reason, version))
        async for asset, *amounts, frozen_at, frozen_reason, version in rows
    ]


async def fetch_account_balance(
    conn: Connection, tenant: str, owner: str, asset: str, bucket: str
) -> int:
    """Return the balance of one account in its normal side, 0 if it was never opened."""
    balance = await _queries.fetch_account_balance(
        conn, tenant=tenant, owner=owner, asset=asset, bucket=bucket
    )
    return int(balance or 0)


async def fetch_statement(
    conn: Connection,
    tenant: str,
    owner: str,
    asset: str,
    bucket: str,
    *,
    below_entry_id: int = 2**63 - 1,
    limit_rows: int = 100,
) -> list[StatementLine]:
    """Return a page of an account's postings, newest first.

    The next page is asked for with the last entry_id of this one. An entry is never split
    between pages, so a page may be a little longer than `limit_rows`.
    """
    rows = _queries.fetch_statement(
        conn,
        tenant=tenant,
        owner=owner,
        asset=asset,
        bucket=bucket,
        below_entry_id=below_entry_id,
        limit_rows=limit_rows,
    )
    return [_statement_line(**row) async for row in rows]


def _statement_line(
    amount_minor: str,
    balance_after_minor: str,
    **rest: Any,  # noqa: ANN401 - columns that need no conversion
) -> StatementLine:
    return StatementLine(
        amount_minor=int(amount_minor), balance_after_minor=int(balance_after_minor), **rest
    )


async def fetch_trial_balance(conn: Connection, tenant: str | None = None) -> list[TrialBalance]:
    """Return debits and credits by tenant and asset; of one tenant or of all."""
    rows = _queries.fetch_trial_balance(conn, tenant=tenant)
    return [
        TrialBalance._make((tenant, asset, *map(int, amounts)))
        async for tenant, asset, *amounts in rows
    ]


async def fetch_imbalances(conn: Connection) -> list[Imbalance]:
    """Return the tenants and assets whose debits and credits differ. Should be none."""
    rows = _queries.fetch_imbalances(conn)
    return [Imbalance(tenant, asset, int(amount)) async for tenant, asset, amount in rows]


async def verify_ledger(conn: Connection) -> list[WrongAccount]:
    """Recompute every balance from the journal and return those that differ. Should be none.

    Reads the whole journal: minutes on a large one.
    """
    rows = _queries.verify_ledger(conn, answer_s=WHOLE_JOURNAL_S)
    return [
        WrongAccount._make((*names, balance and int(balance), journal and int(journal)))
        async for *names, balance, journal in rows
    ]


async def verify_running_balances(conn: Connection) -> list[WrongPosting]:
    """Recompute every running balance; return the first wrong one of each account, or none.

    Reads the whole journal: minutes on a large one.
    """
    rows = _queries.verify_running_balances(conn, answer_s=WHOLE_JOURNAL_S)
    return [
        WrongPosting._make((*names, int(balance), int(following)))
        async for *names, balance, following in rows
    ]
