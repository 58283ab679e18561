"""Stopping a hot wallet: something of it has to be looked into before more money leaves."""

from __future__ import annotations

import structlog

from agents.runtime.stage import Work
from sql import wallets as wallets_sql

log = structlog.get_logger(__name__)


async def halt_wallet(
    work: Work, network: str, address: str, reason: str, chain_nonce: int | None = None
) -> None:
    """Sign nothing more from a wallet until an operator resumes it.

    `chain_nonce` is what the chain expects next, if it is known to be ahead of us.
    """
    log.critical("hot wallet halted", network=network, address=address, reason=reason)
    await wallets_sql.halt_wallet(work.conn, network, address, reason, chain_nonce)
