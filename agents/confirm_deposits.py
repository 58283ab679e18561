"""deposits → ledger: what has become deep enough in the chain is confirmed, set-based.

What was so when it was found is confirmed already, by match_deposits, which also looks whether
anything is due: most blocks end there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agents.parts.deposit_events import deposit_fact
from agents.parts.finality import final_height_of
from agents.parts.network_costs import cost_fact
from agents.runtime.context import Context
from agents.runtime.stage import LocalStage, Work
from metrics import catalogue
from sql import chain as chain_sql
from sql import deposits as deposits_sql
from sql import network_costs as costs_sql
from sql.pool import Connection
from topics.deposits import DEPOSITS, BlockMatched
from topics.ledger import LEDGER, DepositConfirmed, NetworkCostConfirmed, batch_facts


class ConfirmDeposits(LocalStage[BlockMatched]):
    """Confirms by network: one statement however many deposits wait."""

    name = "confirm_deposits"
    topic = DEPOSITS

    def __init__(self, context: Context) -> None:
        self._context = context
        self._finality: dict[str, str] = {}

    async def start(self) -> None:
        """Load what each network calls final."""
        async with self._context.pool.acquire() as conn:
            await self._load_finality(conn)

    async def _load_finality(self, conn: Connection) -> None:
        policies = await deposits_sql.deposit_policies(conn)
        self._finality = {network: policy.finality for network, policy in policies.items()}

    async def apply(self, work: Work, records: Sequence[BlockMatched], _: None) -> None:
        """Confirm what is deep enough on every network that moved."""
        for network in sorted({record.network for record in records}):
            await self._confirm_network(work, network)

    async def _confirm_network(self, work: Work, network: str) -> None:
        cursor = await chain_sql.read_cursor(work.conn, network)
        if cursor is None:
            return
        if network not in self._finality:  # added since
            await self._load_finality(work.conn)
        final_height = final_height_of(cursor, self._finality[network])
        confirmed = await deposits_sql.confirm_deposits(
            work.conn, network, cursor.height, final_height
        )
        costs = await costs_sql.confirm_costs(work.conn, network, cursor.height, final_height)
        facts = [
            deposit_fact(DepositConfirmed, deposit, cursor.height) for deposit in sorted(confirmed)
        ] + [cost_fact(NetworkCostConfirmed, cost) for cost in sorted(costs)]
        for record in batch_facts(facts):
            work.emit(LEDGER, network, record)
        for asset, count in Counter(deposit.asset for deposit in confirmed).items():
            work.count(catalogue.deposits_total.labels(network, asset, "confirmed"), count)
