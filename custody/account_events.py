"""What is told of accounts that are frozen, or frozen no more. Pure."""

from __future__ import annotations

from datetime import datetime

from ledger.chart import REORGANISED_CREDIT
from ledger.entries import Entry, PostResult
from topics import event_data
from topics.events import AccountUnfrozen, Event, make_event_id


def paid_debt_events(entry: Entry, result: PostResult, now: datetime) -> list[Event]:
    """Return an event for each account whose freeze ended with the debt that the entry paid."""
    return [
        AccountUnfrozen(
            id=make_event_id(
                now, "account.unfrozen", ref.tenant, ref.owner, ref.asset, entry.idempotency_key
            ),
            tenant=ref.tenant,
            occurred_at=now,
            data=event_data.Account(
                owner=ref.owner,
                asset=ref.asset,
                reason=REORGANISED_CREDIT,
                detail="The debt is paid.",
            ),
        )
        for ref in result.unfrozen
    ]
