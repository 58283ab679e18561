"""Whether a transaction has expired for good: by the chain's measure, and by its nodes' word."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from agents.parts.finality import final_height_of
from agents.parts.sending import send_all
from agents.runtime.context import Context
from chain_adapters.types import BroadcastOutcome
from metrics import catalogue
from settings.model import Network
from sql import attempts as attempts_sql
from sql import chain as chain_sql
from sql.pool import Connection

log = structlog.get_logger(__name__)


async def final_clock(conn: Connection, config: Network) -> int | None:
    """Return the clock of the highest block that is final and was searched for our transactions.

    What was valid until then and is in no block can never land. None: nothing is known yet.
    """
    cursor = await chain_sql.read_cursor(conn, config.network)
    if cursor is None or cursor.settled_height is None:
        return None
    final_height = min(
        cursor.height - config.confirmations + 1,
        final_height_of(cursor, config.finality),
        # A block comes in parts: only those below the newest are known to be searched whole.
        cursor.settled_height - 1,
    )
    return await chain_sql.clock_at(conn, config.network, final_height)


async def doubtful_expiries(
    context: Context, network: str, withdrawal_ids: Iterable[int]
) -> frozenset[int]:
    """Return those of these withdrawals of which a transaction may land, or be in a block, yet.

    Asked where nothing but expiry keeps old and new apart, after our own blocks have said that it
    is over: a block that was read wrongly, dead-lettered or told with a wrong height would else
    pay twice. The old bytes are sent once more, which is harmless; only a node that refuses them,
    and knows of no block with them, takes the doubt away.
    """
    async with context.pool.acquire() as conn:
        attempts = await attempts_sql.unguarded_attempts(conn, withdrawal_ids)
    answers = await send_all(
        context.adapters[network], network, [transaction for _, transaction in attempts.values()]
    )
    for answer in answers:
        if answer.outcome == BroadcastOutcome.ACCEPTED:
            catalogue.withdrawal_doubts_total.labels(network).inc()
            log.error(
                "expired by our blocks, but not by the node's",
                network=network,
                transaction_id=answer.transaction_id,
                detail=answer.detail,
            )
    doubts = [one for one in answers if one.outcome != BroadcastOutcome.REFUSED]
    return frozenset(attempts[one.transaction_id][0] for one in doubts)
