"""Orders to pay out: their rules, their rows and the steps they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

from sql.confirmations import Steps, confirmations_of, read_steps
from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("withdrawals")

OrderKey = tuple[str, str]
"""Tenant and idempotency key."""

WAITING = "awaiting_approval"
APPROVED = "approved"
SENT = ("signed", "broadcast")
"""Statuses of a withdrawal that may be in a block any moment: nodes have it, or may have."""
OPEN = (WAITING, APPROVED, *SENT)
"""Statuses of a withdrawal whose money is held."""

WaitReason = Literal[
    "tenant_suspended",
    "account_frozen",
    "network_halted",
    "wallet_halted",
    "no_hot_wallet",
    "no_quote",
    "token_missing",
    "fee_above_cap",
    "sender_lacks_funds",
    "too_many_coins",
    "earlier_payment",
    "unsearched_blocks",
    "not_signed",
]
"""Why the signer left an approved withdrawal; docs/cli.md says what each means."""
WAIT_REASONS: tuple[WaitReason, ...] = get_args(WaitReason)


class WithdrawalPolicy(NamedTuple):
    """The rules of one asset; amounts in its minor units, None means no limit."""

    asset: str
    network: str
    contract: str | None
    native_asset: str
    confirmations: Steps
    finality: str
    minor_min: int
    minor_max: int | None
    minor_max_day: int | None
    count_max_hour: int | None
    approval_minor: int | None
    fee_minor: int

    def confirmations_of(self, amount_minor: int) -> int:
        """Return how many blocks, its own included, a payment of this amount waits for."""
        return confirmations_of(self.confirmations, amount_minor)


class NewWithdrawal(NamedTuple):
    """An order about to be written. `network` is None if the asset is unknown."""

    tenant: str
    idempotency_key: str
    request_hash: bytes
    owner: str
    asset: str
    network: str | None
    address: str
    memo: str | None
    amount_minor: int
    fee_minor: int

    @property
    def key(self) -> OrderKey:
        """What makes it the same order however often it is sent."""
        return self.tenant, self.idempotency_key


class Withdrawal(NamedTuple):
    """An order as it is kept; see the withdrawals table. Only a rejected one has no network."""

    withdrawal_id: int
    tenant: str
    idempotency_key: str
    owner: str
    asset: str
    network: str | None
    address: str
    memo: str | None
    amount_minor: int
    fee_minor: int
    status: str
    reason: str | None
    detail: str | None
    revision: int
    decided_by: str | None
    sender: str | None
    nonce: int | None
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> OrderKey:
        """What makes it the same order however often it is sent."""
        return self.tenant, self.idempotency_key


class Move(NamedTuple):
    """A step of one withdrawal to another status."""

    withdrawal_id: int
    status: str
    reason: str | None = None
    detail: str | None = None
    decided_by: str | None = None


class Obstacles(NamedTuple):
    """What an approved withdrawal may wait for, as far as the database knows."""

    withdrawal_id: int
    tenant_status: str
    frozen_reason: str | None
    network_halted: str | None
    wallet: str | None
    """The hot wallet's address; None if the tenant has none yet."""
    wallet_halted: str | None
    waits_for: WaitReason | None
    """Why the signer left it when it last looked; None: it has not looked yet."""
    free_minor: int
    """What the hot wallet holds by the books beside payments that are signed already."""


WITHDRAWAL_COLUMNS = len(Withdrawal._fields)


def read_withdrawal(row: Sequence[Any]) -> Withdrawal:
    """Return the withdrawal that the first columns of a row hold."""
    fields = list(row[:WITHDRAWAL_COLUMNS])
    fields[8], fields[9] = int(fields[8]), int(fields[9])
    return Withdrawal(*fields)


async def withdrawal_policies(conn: Connection) -> dict[str, WithdrawalPolicy]:
    """Return the rules of every asset."""
    return {row["asset"]: _policy(row) for row in await _queries.withdrawal_policies(conn)}


def _policy(row: Mapping[str, Any]) -> WithdrawalPolicy:
    return WithdrawalPolicy(
        asset=row["asset"],
        network=row["network"],
        contract=row["contract"],
        native_asset=row["native_asset"],
        confirmations=read_steps(row["confirmations_by_amount"], row["confirmations"]),
        finality=row["finality"],
        minor_min=int(row["minor_min"]),
        minor_max=_int_or_none(row["minor_max"]),
        minor_max_day=_int_or_none(row["minor_max_day"]),
        count_max_hour=row["count_max_hour"],
        approval_minor=_int_or_none(row["approval_minor"]),
        fee_minor=int(row["fee_minor"]),
    )


def _int_or_none(text: str | None) -> int | None:
    return None if text is None else int(text)


async def tenant_statuses(conn: Connection, tenants: Iterable[str]) -> dict[str, str]:
    """Return the status of those of `tenants` that exist."""
    rows = await _queries.tenant_statuses(conn, tenants=sorted(set(tenants)))
    return {row["tenant"]: row["status"] for row in rows}


async def lock_users(conn: Connection, users: Iterable[tuple[str, str]]) -> None:
    """Let nobody else judge orders of these (tenant, owner) before this transaction ends."""
    pairs = sorted(set(users))
    await _queries.lock_users(
        conn, tenants=[tenant for tenant, _ in pairs], owners=[owner for _, owner in pairs]
    )


async def ordered_before(conn: Connection, keys: Sequence[OrderKey]) -> dict[OrderKey, bytes]:
    """Return the request hash of those orders that are there already."""
    rows = await _queries.ordered_before(
        conn, tenants=[tenant for tenant, _ in keys], idempotency_keys=[key for _, key in keys]
    )
    return {(row["tenant"], row["idempotency_key"]): row["request_hash"] for row in rows}


async def withdrawal_history(
    conn: Connection, keys: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Return (sum of 24 h, count of 1 h) by (tenant, owner, asset); nothing for no orders."""
    unique = sorted(set(keys))
    rows = await _queries.withdrawal_history(
        conn,
        tenants=[key[0] for key in unique],
        owners=[key[1] for key in unique],
        assets=[key[2] for key in unique],
    )
    return {
        (row["tenant"], row["owner"], row["asset"]): (int(row["day_minor"]), row["hour_count"])
        for row in rows
    }


async def add_withdrawals(
    conn: Connection, orders: Sequence[NewWithdrawal]
) -> dict[OrderKey, Withdrawal]:
    """Write orders as requested; those that are there already are left out of the answer."""
    if not orders:
        return {}
    columns = [list(column) for column in zip(*orders, strict=True)]
    rows = await _queries.add_withdrawals(
        conn,
        tenants=columns[0],
        idempotency_keys=columns[1],
        request_hashes=columns[2],
        owners=columns[3],
        assets=columns[4],
        networks=columns[5],
        addresses=columns[6],
        memos=columns[7],
        amounts_minor=[str(order.amount_minor) for order in orders],
        fees_minor=[str(order.fee_minor) for order in orders],
    )
    return {withdrawal.key: withdrawal for withdrawal in map(read_withdrawal, rows)}


async def move_withdrawals(
    conn: Connection, from_status: str, moves: Sequence[Move]
) -> list[Withdrawal]:
    """Take withdrawals a step further; return those that were still in `from_status`, by id."""
    if not moves:
        return []
    columns = [list(column) for column in zip(*moves, strict=True)]
    rows = await _queries.move_withdrawals(
        conn,
        from_status=from_status,
        withdrawal_ids=columns[0],
        statuses=columns[1],
        reasons=columns[2],
        details=columns[3],
        decided_bys=columns[4],
    )
    return sorted(map(read_withdrawal, rows))


async def lock_withdrawals(
    conn: Connection, withdrawal_ids: Iterable[int], statuses: Sequence[str]
) -> list[Withdrawal]:
    """Lock and return those of the withdrawals that are in one of `statuses`, by id."""
    rows = await _queries.lock_withdrawals(
        conn, withdrawal_ids=sorted(set(withdrawal_ids)), statuses=list(statuses)
    )
    return [read_withdrawal(row) for row in rows]


async def signing_bars(
    conn: Connection, withdrawal_ids: Iterable[int]
) -> dict[int, WaitReason | None]:
    """Return those that are approved, and what of their tenant, owner or network forbids signing.

    The caller has locked them: a look that waited for a lock would be an old one.
    """
    rows = await _queries.signing_bars(conn, withdrawal_ids=sorted(set(withdrawal_ids)))
    return {row["withdrawal_id"]: row["bar"] for row in rows}


async def note_waits(conn: Connection, waits: Mapping[int, WaitReason]) -> frozenset[int]:
    """Write what withdrawals wait for that are still approved; return those of which it is new.

    The caller has locked them.
    """
    rows = await _queries.note_waits(conn, withdrawal_ids=list(waits), reasons=list(waits.values()))
    return frozenset(row["withdrawal_id"] for row in rows)


async def await_signing(
    conn: Connection, tenant: str, owner: str | None = None, asset: str | None = None
) -> None:
    """Return once a freeze or suspension that is committed holds for every signature.

    Who was signing for the tenant, or for the owner in the asset, has committed by then; who signs
    later reads of it (see signing_bars). Must not be in the transaction that froze: that
    has an account, and who signs takes accounts after withdrawals.
    """
    await _queries.await_signing(conn, tenant=tenant, owner=owner, asset=asset)


async def list_obstacles(conn: Connection, withdrawal_ids: Iterable[int]) -> list[Obstacles]:
    """Return what those of the withdrawals that are approved may wait for."""
    ids = sorted(set(withdrawal_ids))
    rows = await _queries.list_obstacles(conn, withdrawal_ids=ids)
    return [Obstacles._make((*head, int(free))) for *head, free in rows]


async def find_withdrawal(conn: Connection, tenant: str, idempotency_key: str) -> Withdrawal | None:
    """Return a withdrawal by its producer's id."""
    row = await _queries.find_withdrawal(conn, tenant=tenant, idempotency_key=idempotency_key)
    return None if row is None else read_withdrawal(row)


async def list_withdrawals(
    conn: Connection, tenant: str | None, owner: str | None, status: str | None, limit_rows: int
) -> list[Withdrawal]:
    """Return withdrawals, newest first; None asks for all tenants, owners or statuses."""
    rows = await _queries.list_withdrawals(
        conn, tenant=tenant, owner=owner, status=status, limit_rows=limit_rows
    )
    return [read_withdrawal(row) for row in rows]


async def stale_approvals(
    conn: Connection, network: str, after_s: float, after_id: int, limit_rows: int
) -> list[int]:
    """Return the ids above `after_id` of withdrawals approved `after_s` ago and not signed."""
    rows = await _queries.stale_approvals(
        conn, network=network, after_s=after_s, after_id=after_id, limit_rows=limit_rows
    )
    return [row["withdrawal_id"] for row in rows]
