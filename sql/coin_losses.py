"""Coins of withdrawals that another transaction took, and what becomes of those withdrawals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("coin_losses")

VitalCoins = Mapping[int, frozenset[str]]
"""By withdrawal the coins without any of which it can never land."""


class Taker(NamedTuple):
    """A transaction in a block that took, or may have taken, a coin of a withdrawal.

    `ours` is another withdrawal's, of which it is known what it spends.
    """

    withdrawal_id: int
    transaction_id: str
    height: int
    block_id: str
    ours: bool


async def vital_coins(
    conn: Connection, network: str, withdrawal_ids: Iterable[int]
) -> dict[int, frozenset[str]]:
    """Return the coins that all transactions of each withdrawal need; none of those paid."""
    rows = await _queries.vital_coins(
        conn, network=network, withdrawal_ids=sorted(set(withdrawal_ids))
    )
    found: dict[int, set[str]] = defaultdict(set)
    for row in rows:
        found[row["withdrawal_id"]].add(row["coin"])
    return {withdrawal_id: frozenset(coins) for withdrawal_id, coins in found.items()}


async def coin_takers(conn: Connection, network: str, vital: VitalCoins) -> list[Taker]:
    """Return what is in the best chain and may have taken one of these coins."""
    if not vital:
        return []
    pairs = [(withdrawal_id, coin) for withdrawal_id in vital for coin in vital[withdrawal_id]]
    rows = await _queries.coin_takers(
        conn,
        network=network,
        withdrawal_ids=[withdrawal_id for withdrawal_id, _ in pairs],
        coins=[coin for _, coin in pairs],
    )
    return [Taker(*row) for row in rows]


async def block_height(conn: Connection, network: str, block_id: str | None) -> int | None:
    """Return the height of a block, None if it is not in the best chain as we remember it."""
    height: int | None = await _queries.block_height(conn, network=network, block_id=block_id)
    return height


async def unseen_withdrawals(conn: Connection, network: str, after_s: float) -> list[int]:
    """Return withdrawals in coins that are in no block and were not sent for `after_s`."""
    rows = await _queries.unseen_withdrawals(conn, network=network, after_s=after_s)
    return [row["withdrawal_id"] for row in rows]


async def shaken_losses(conn: Connection, network: str) -> list[int]:
    """Return withdrawals that are given up for a transaction which has left the best chain."""
    rows = await _queries.shaken_losses(conn, network=network)
    return [row["withdrawal_id"] for row in rows]


async def claimed_elsewhere(
    conn: Connection, network: str, coins: Sequence[str], withdrawal_id: int
) -> bool:
    """Whether any of these coins is another withdrawal's that is not given up."""
    return bool(
        await _queries.claimed_elsewhere(
            conn, network=network, coins=list(coins), withdrawal_id=withdrawal_id
        )
    )


async def record_loss(conn: Connection, network: str, taker: Taker, coins: Sequence[str]) -> None:
    """Note that a withdrawal is given up for a transaction that spends `coins`.

    Its other coins are free once no reorganisation that we follow can undo that transaction; coins
    of the wallet which that took besides are spent by no other withdrawal.
    """
    await _queries.record_loss(
        conn,
        network=network,
        withdrawal_id=taker.withdrawal_id,
        transaction_id=taker.transaction_id,
        height=taker.height,
        block_id=taker.block_id,
        coins=list(coins),
    )


async def renew_losses(conn: Connection, network: str) -> None:
    """Follow what took coins of given up withdrawals into the blocks where it is now."""
    await _queries.renew_losses(conn, network=network)
