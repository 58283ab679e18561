"""An operator's word on whose a deposit is that nobody was found for. Only by the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from agents.parts.deposit_events import assigned_event, deposit_fact
from agents.parts.ledger_entries import entry_of
from agents.runtime.stage import Work
from custody.account_events import paid_debt_events
from ledger import rules
from ledger.entries import Outcome
from ledger.post import post
from sql import chain as chain_sql
from sql import deposits as deposits_sql
from sql import ledger as ledger_sql
from sql import tenants as tenants_sql
from sql.deposits import Deposit
from topics.events import emit_events
from topics.ledger import DepositConfirmed


class NotAssignable(Exception):
    """The deposit does not wait for an owner (yet, or any more), or there is no such owner."""


async def assign_deposit(
    work: Work, tenant: str, deposit_id: int, owner: str, actor: str
) -> Deposit:
    """Credit a deposit that is in suspense to a user of the tenant, once and for ever.

    It stays that user's if its block leaves the chain and it is mined again. All in the caller's
    transaction: of two concurrent words the second raises NotAssignable. So does one on a deposit
    that is not confirmed, or that the ledger does not hold in suspense at this moment.
    """
    deposit = await _lock(work, tenant, deposit_id)
    if not await tenants_sql.is_user(work.conn, tenant, owner):
        raise NotAssignable(f"tenant {tenant!r} has no user {owner!r}")
    if deposit.asset is None:
        raise NotAssignable(f"deposit {deposit_id} is of a token that is not listed")
    entry = rules.deposit_assigned(
        tenant,
        owner,
        deposit.asset,
        int(deposit.amount_minor),
        deposit_id=deposit_id,
        revision=deposit.revision,
    )
    await deposits_sql.assign_deposit(work.conn, deposit_id, owner, actor)
    (result,) = await post(work.conn, [entry], work.count)
    if result.outcome is not Outcome.POSTED:
        raise RuntimeError(f"deposit {deposit_id}: {result.outcome} {result.detail}")
    assigned = deposit._replace(owner=owner)
    cursor = await chain_sql.read_cursor(work.conn, deposit.network)
    tip_height = deposit.confirm_height if cursor is None else cursor.height
    now = datetime.now(UTC)
    assignment = assigned_event(assigned, actor, tip_height, now)
    emit_events(work, [assignment, *paid_debt_events(entry, result, now)])
    return assigned


async def _lock(work: Work, tenant: str, deposit_id: int) -> Deposit:
    """Return a deposit that can be assigned; its status stays until the transaction ends."""
    deposit = await deposits_sql.find_deposit(work.conn, tenant, deposit_id)
    if deposit is None:
        raise NotAssignable(f"tenant {tenant!r} has no deposit {deposit_id}")
    if deposit.owner or deposit.purpose != "pooled":
        raise NotAssignable(f"deposit {deposit_id} is {deposit.owner or 'the tenant'}'s")
    if deposit.status != "confirmed":
        raise NotAssignable(f"deposit {deposit_id} is {deposit.status}, not confirmed")
    credit = entry_of(deposit_fact(DepositConfirmed, deposit, deposit.confirm_height), None)
    if not await ledger_sql.find_entries(work.conn, [(tenant, credit.idempotency_key)]):
        raise NotAssignable(f"deposit {deposit_id} is on its way to the ledger; try again soon")
    return deposit
