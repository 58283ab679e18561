"""Payments alike in everything, where nothing but their content tells transactions apart."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from agents.runtime.stage import Work
from custody import pay
from sql import deposits as deposits_sql
from sql.transactions import NewTransaction

log = structlog.get_logger(__name__)


async def leave_out_twins(
    work: Work, network: str, signed: Sequence[NewTransaction]
) -> Sequence[NewTransaction]:
    """Leave those approved that would be another payment's transaction: the next quote differs."""
    loose = [one.transaction_id for one in signed if one.nonce is None and one.coin is None]
    if not loose:
        return signed
    kept = pay.without_twins(signed, await deposits_sql.own_transactions(work.conn, network, loose))
    if len(kept) < len(signed):
        log.warning("payments alike in everything", network=network, left=len(signed) - len(kept))
    return kept
