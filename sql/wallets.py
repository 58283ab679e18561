"""Hot wallets: their nonces, what they owe already, and whether they may sign."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("wallets")


class NonceRow(NamedTuple):
    """The nonce counter of one hot wallet. No next nonce: its chain has none."""

    next_nonce: int | None
    halted_reason: str | None
    prepared_nonce: int | None = None
    """The last one taken by a transaction that prepared the wallet."""
    prepared_until: int | None = None
    """That one can land as long as a block's clock is not above this; None: for ever."""


class WalletRow(NamedTuple):
    """A hot wallet. No next nonce: nothing was ever signed from it, or its chain has none."""

    network: str
    tenant: str
    address: str
    next_nonce: int | None
    halted_reason: str | None
    chain_nonce: int | None
    """What the chain expected when the wallet was halted, if that is why."""
    approved: int
    """Withdrawals that wait to be signed."""
    sent: int
    """Withdrawals that are signed and not settled."""
    nonce_used: list[str]
    """The producer's ids of those whose nonce was used by a transaction that is not ours."""
    not_ours: list[str]
    """Where there are no nonces: transactions it paid for that nobody has accounted for."""


class ForeignNonce(NamedTuple):
    """A withdrawal whose nonce or coin was used by a transaction that is not ours."""

    withdrawal_id: int
    sender: str
    nonce: int | None


class ForeignTransaction(NamedTuple):
    """A transaction in a block that a hot wallet paid for and that is none of our withdrawals'."""

    transaction_id: str
    address: str
    height: int


class Unaccounted(NamedTuple):
    """What a wallet paid for that nobody has accounted for."""

    sender: str
    transactions: int
    newest: str
    height: int
    depth: int
    """Blocks on top of the oldest."""


async def lock_nonces(
    conn: Connection, network: str, first_nonces: dict[str, int | None]
) -> dict[str, NonceRow]:
    """Lock the counters of senders; a new one starts at the nonce given (None: no nonces)."""
    rows = await _queries.lock_nonces(
        conn,
        network=network,
        senders=list(first_nonces),
        next_nonces=list(first_nonces.values()),
    )
    return {row["sender"]: NonceRow(*list(row)[1:]) for row in rows}


async def take_prepared_nonce(
    conn: Connection, network: str, sender: str, nonce: int, valid_until: int | None
) -> None:
    """Give a nonce to a transaction that is kept nowhere. The caller holds the wallet's lock."""
    await _queries.take_prepared_nonce(
        conn, network=network, sender=sender, nonce=nonce, valid_until=valid_until
    )


async def advance_nonces(conn: Connection, network: str, next_nonces: dict[str, int]) -> None:
    """Set the next nonce of each sender. The caller holds their locks."""
    await _queries.advance_nonces(
        conn, network=network, senders=list(next_nonces), next_nonces=list(next_nonces.values())
    )


async def count_in_flight(conn: Connection, network: str, senders: Iterable[str]) -> dict[str, int]:
    """Return how many payments of each wallet wait for a block."""
    rows = await _queries.count_in_flight(conn, network=network, senders=sorted(set(senders)))
    return {row["sender"]: row["payments"] for row in rows}


async def halt_wallet(
    conn: Connection, network: str, sender: str, reason: str, chain_nonce: int | None
) -> None:
    """Sign nothing more from a wallet. One that is halted already keeps its first reason."""
    await _queries.halt_wallet(
        conn, network=network, sender=sender, reason=reason, chain_nonce=chain_nonce
    )


async def resume_wallet(conn: Connection, network: str, tenant: str) -> bool:
    """Sign from a tenant's halted wallet again; False if it is not halted."""
    return bool(await _queries.resume_wallet(conn, network=network, tenant=tenant))


async def note_foreign(conn: Connection, network: str, found: Sequence[ForeignTransaction]) -> None:
    """Remember transactions that are not ours, unless the wallet's nonce tells of them.

    The caller is the only one that writes of this network now: it holds match_deposits.
    """
    await _queries.note_foreign(
        conn,
        network=network,
        transaction_ids=[one.transaction_id for one in found],
        addresses=[one.address for one in found],
        heights=[one.height for one in found],
    )


async def unaccounted_transactions(
    conn: Connection, network: str, senders: Iterable[str]
) -> list[Unaccounted]:
    """Return those of these wallets that have any. The caller holds their locks."""
    rows = await _queries.unaccounted_transactions(
        conn, network=network, senders=sorted(set(senders))
    )
    return [Unaccounted(*row) for row in rows]


async def unfunded_wallets(
    conn: Connection, network: str, senders: Iterable[str]
) -> frozenset[str]:
    """Return those of these wallets to which no block that was searched has brought anything.

    Not to be asked of wallets whose money is coins.
    """
    rows = await _queries.unfunded_wallets(conn, network=network, senders=sorted(set(senders)))
    return frozenset(row["sender"] for row in rows)


async def list_wallets(
    conn: Connection, tenant: str | None = None, network: str | None = None
) -> list[WalletRow]:
    """Return hot wallets with their nonces and what waits in them."""
    rows = await _queries.list_wallets(conn, tenant=tenant, network=network)
    return [WalletRow(*row) for row in rows]


async def foreign_nonces(conn: Connection, withdrawal_ids: Iterable[int]) -> list[ForeignNonce]:
    """Return those of the withdrawals whose nonce or coin somebody else has used."""
    rows = await _queries.foreign_nonces(conn, withdrawal_ids=sorted(set(withdrawal_ids)))
    return [ForeignNonce(*row) for row in rows]


async def open_payments(conn: Connection, network: str, senders: Iterable[str]) -> frozenset[int]:
    """Return the payments of these wallets that wait for a block."""
    rows = await _queries.open_payments(conn, network=network, senders=sorted(set(senders)))
    return frozenset(row["withdrawal_id"] for row in rows)


async def promised_amounts(
    conn: Connection, network: str, senders: Iterable[str], open_before: Iterable[int]
) -> dict[tuple[str, str | None], int]:
    """Return by (sender, contract) what signed payments may still take; None: the native asset.

    Those of `open_before` count too: what they took was there when the wallets were looked at.
    """
    rows = await _queries.promised_amounts(
        conn,
        network=network,
        senders=sorted(set(senders)),
        open_before=sorted(set(open_before)),
    )
    return {(row["sender"], row["contract"]): int(row["amount_minor"]) for row in rows}


async def release_nonce(conn: Connection, withdrawal_id: int) -> None:
    """Give the nonce of a failed withdrawal to the next one; all its transactions expired."""
    await _queries.release_nonce(conn, withdrawal_id=withdrawal_id)
