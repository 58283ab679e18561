"""Coins of hot wallets, where money is held so: which can be spent, and by which withdrawal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from chain_adapters.types import Coin
from sql.coin_losses import renew_losses
from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("coins")


async def free_coins(
    conn: Connection, network: str, senders: Iterable[str], *, reorg_depth_max: int
) -> dict[str, list[Coin]]:
    """Return what each wallet can spend, oldest first. The caller holds the wallets' locks."""
    await release_coins(conn, network, reorg_depth_max)
    found: dict[str, list[Coin]] = defaultdict(list)
    rows = await _queries.free_coins(conn, network=network, senders=sorted(set(senders)))
    for row in rows:
        found[row["sender"]].append(Coin(row["coin"], int(row["amount_minor"])))
    return found


async def release_coins(conn: Connection, network: str, reorg_depth_max: int) -> None:
    """Let go of spare coins that no reorganisation of this depth can make somebody's again.

    Blocks say where what took the other coins is now: call it before these are forgotten.
    """
    await renew_losses(conn, network)
    await _queries.release_coins(conn, network=network, reorg_depth_max=reorg_depth_max)


async def claim_coins(conn: Connection, network: str, claims: Sequence[tuple[str, int]]) -> None:
    """Keep coins for withdrawals, one of each.

    A coin that is another's is an error, unless that one is given up.
    """
    if claims:
        await _queries.claim_coins(
            conn,
            network=network,
            coins=[coin for coin, _ in claims],
            withdrawal_ids=[withdrawal_id for _, withdrawal_id in claims],
        )


async def spare_coins(conn: Connection, withdrawal_ids: Iterable[int]) -> None:
    """Note claimed coins that settled withdrawals did not spend.

    `free_coins` has them again once no reorganisation can bring an attempt that does.
    """
    await _queries.spare_coins(conn, withdrawal_ids=sorted(set(withdrawal_ids)))


async def keep_spare_coins(conn: Connection, withdrawal_ids: Iterable[int]) -> None:
    """Keep all claimed coins of withdrawals that are open again."""
    await _queries.keep_spare_coins(conn, withdrawal_ids=sorted(set(withdrawal_ids)))
