"""Facts that were decided and never reached the journal: Kafka lost them on their way there.

Told again they are posted like any others. What is only late comes twice: post_ledger drops that.
"""

from __future__ import annotations

from agents.parts.deposit_events import deposit_fact
from agents.parts.ledger_entries import entry_of, original_of
from agents.parts.network_costs import cost_fact
from agents.parts.withdrawal_facts import settled_fact
from sql import deposits as deposits_sql
from sql import ledger as ledger_sql
from sql import network_costs as costs_sql
from sql import transactions as transactions_sql
from sql import withdrawals as withdrawals_sql
from sql.deposits import Deposit
from sql.network_costs import NetworkCost
from sql.pool import Connection
from topics.ledger import (
    DepositConfirmed,
    DepositOrphaned,
    LedgerFact,
    NetworkCostConfirmed,
    NetworkCostOrphaned,
)


async def lost_facts(
    conn: Connection, network: str, first: int, last: int, *, tip_height: int
) -> list[LedgerFact]:
    """Return what the journal should have of blocks from `first` to `last`, and lacks."""
    deposits = await deposits_sql.decided_deposits(conn, network, first, last)
    costs = await costs_sql.decided_costs(conn, network, first, last)
    settled = await transactions_sql.decided_withdrawals(conn, network, first, last)
    policies = await withdrawals_sql.withdrawal_policies(conn)
    facts: list[LedgerFact] = [
        *(fact for deposit in deposits for fact in deposit_facts(deposit, tip_height)),
        *(fact for cost, status in costs for fact in cost_facts(cost, status)),
        *(settled_fact(w, inclusion, policies, tip_height) for w, inclusion in settled),
    ]
    entries = [(fact.tenant, entry_of(fact, None).idempotency_key) for fact in facts]
    undone = [(fact.tenant, one.idempotency_key) for fact in facts for one in original_of(fact)]
    keys = list({*entries, *undone})
    posted = {keys[line.position - 1] for line in await ledger_sql.find_entries(conn, keys)}
    return [
        fact
        for fact, entry in zip(facts, entries, strict=True)
        if entry not in posted
        and all((fact.tenant, one.idempotency_key) in posted for one in original_of(fact))
    ]


def deposit_facts(deposit: Deposit, tip_height: int) -> list[LedgerFact]:
    """Return all that was ever to be posted about a deposit, were it confirmed each time. Pure.

    A credit of an earlier revision is to be undone before the deposit is credited anew.
    """
    gone = deposit.revision + (deposit.status == "orphaned")
    earlier = [deposit._replace(revision=revision) for revision in range(gone)]
    facts: list[LedgerFact] = [deposit_fact(DepositOrphaned, d, tip_height) for d in earlier]
    if deposit.status == "confirmed":
        facts.append(deposit_fact(DepositConfirmed, deposit, tip_height))
    return facts


def cost_facts(cost: NetworkCost, status: str) -> list[LedgerFact]:
    """Return all that was ever to be posted about a network cost. Pure."""
    gone = cost.revision + (status in ("orphaned", "disowned"))
    earlier = [cost._replace(revision=revision) for revision in range(gone)]
    facts: list[LedgerFact] = [cost_fact(NetworkCostOrphaned, c) for c in earlier]
    if status == "confirmed":
        facts.append(cost_fact(NetworkCostConfirmed, cost))
    return facts
