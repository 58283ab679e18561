"""Whether blocks were searched up to where the chain was when this process began."""

from __future__ import annotations

import structlog

from agents.parts.tip import ask_tip_height
from agents.runtime.context import Context
from chain_adapters.types import NodeUnavailable
from sql import chain as chain_sql

log = structlog.get_logger(__name__)


class SearchedBlocks:
    """Asks each network's node once, and the database until it has caught up with that.

    Where no nonce tells of a payment, a database that was restored and forgot it learns of it from
    blocks alone. What signs is started after a restore, not before.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._tips: dict[str, int] = {}
        self._done: set[str] = set()

    async def are_done(self, network: str) -> bool:
        """Whether match_deposits has done all blocks that there were; if so, for ever."""
        if network not in self._done and await self._look(network):
            self._done.add(network)
        return network in self._done

    async def _look(self, network: str) -> bool:
        if network not in self._tips:
            try:
                self._tips[network] = await ask_tip_height(self._context.adapters[network])
            except NodeUnavailable as fault:
                log.warning("no node tells its tip", network=network, fault=str(fault)[:300])
                return False
        async with self._context.pool.acquire() as conn:
            cursor = await chain_sql.read_cursor(conn, network)
        searched = -1 if cursor is None or cursor.matched_height is None else cursor.matched_height
        return searched >= self._tips[network]
