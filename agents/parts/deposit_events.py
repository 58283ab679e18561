"""What deposits look like to the outside: pure functions from rows to facts and events."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from sql.deposits import Deposit
from topics import event_data, events
from topics.events import Event
from topics.ledger import DepositFact

FactT = TypeVar("FactT", bound=DepositFact)


def is_from_customer(deposit: Deposit | DepositFact) -> bool:
    """Whether it came to an address for customers, be its owner known or not."""
    return deposit.purpose in ("deposit", "pooled")


def deposit_fact(kind: type[FactT], deposit: Deposit, tip_height: int) -> FactT:
    """Return the fact about a deposit, as it was decided on at `tip_height`."""
    if deposit.asset is None:
        raise ValueError(f"deposit {deposit.deposit_id} has no asset and cannot be posted")
    return kind(
        deposit_id=deposit.deposit_id,
        revision=deposit.revision,
        tenant=deposit.tenant,
        owner=deposit.owner,
        purpose=deposit.purpose,
        asset=deposit.asset,
        amount_minor=deposit.amount_minor,
        network=deposit.network,
        address=deposit.address,
        sender=deposit.sender,
        contract=deposit.contract,
        memo=deposit.memo,
        transaction_id=deposit.transaction_id,
        transfer_index=deposit.transfer_index,
        height=deposit.height,
        block_id=deposit.block_id,
        confirm_height=deposit.confirm_height,
        tip_height=tip_height,
    )


def deposit_data(deposit: Deposit | DepositFact, confirmations: int) -> dict[str, Any]:
    """Return the fields that every event about a deposit has."""
    return {
        "deposit_id": deposit.deposit_id,
        "owner": deposit.owner,
        "network": deposit.network,
        "asset": deposit.asset,
        "amount_minor": deposit.amount_minor,
        "address": deposit.address,
        "sender": deposit.sender,
        "contract": deposit.contract,
        "memo": deposit.memo,
        "transaction_id": deposit.transaction_id,
        "transfer_index": deposit.transfer_index,
        "height": deposit.height,
        "block_id": deposit.block_id,
        "revision": deposit.revision,
        "confirmations": confirmations,
        "confirmations_required": deposit.confirm_height - deposit.height + 1,
    }


def detected_event(deposit: Deposit, now: datetime) -> Event:
    """Return deposit.detected, or deposit.ignored for one that will not be credited."""
    key = (deposit.deposit_id, deposit.revision)
    if deposit.ignored_reason is not None:
        return events.DepositIgnored(
            id=events.make_event_id(now, "deposit.ignored", *key),
            tenant=deposit.tenant,
            occurred_at=now,
            data=event_data.IgnoredDeposit(
                **deposit_data(deposit, 1),
                reason=deposit.ignored_reason,  # type: ignore[arg-type]
            ),
        )
    return events.DepositDetected(
        id=events.make_event_id(now, "deposit.detected", *key),
        tenant=deposit.tenant,
        occurred_at=now,
        data=event_data.Deposit(**deposit_data(deposit, 1)),
    )


def assigned_event(deposit: Deposit, actor: str, tip_height: int, now: datetime) -> Event:
    """Return deposit.assigned."""
    data = deposit_data(deposit, tip_height - deposit.height + 1)
    return events.DepositAssigned(
        id=events.make_event_id(now, "deposit.assigned", deposit.deposit_id, deposit.revision),
        tenant=deposit.tenant,
        occurred_at=now,
        data=event_data.AssignedDeposit(**data, assigned_by=actor),
    )


def orphaned_event(deposit: Deposit, now: datetime) -> Event:
    """Return deposit.orphaned."""
    return events.DepositOrphaned(
        id=events.make_event_id(now, "deposit.orphaned", deposit.deposit_id, deposit.revision),
        tenant=deposit.tenant,
        occurred_at=now,
        data=event_data.Deposit(**deposit_data(deposit, 0)),
    )
