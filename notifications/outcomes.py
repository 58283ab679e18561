"""What a batch of attempts means for deliveries and endpoints. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from notifications.post import Answer
from notifications.schedule import judge_attempt, parse_retry_after
from sql.notifications import Claim, DisabledRow, HealthRow, OutcomeRow
from topics.event_data import DisabledEndpoint
from topics.events import Event, WebhookDisabled, make_event_id


class Attempt(NamedTuple):
    """One request and its answer."""

    claim: Claim
    started_at: datetime
    answer: Answer


def judge(attempt: Attempt, random: Callable[[], float]) -> OutcomeRow:
    """Return what is to be written of an attempt."""
    claim, started_at, answer = attempt
    step = judge_attempt(claim.attempts + 1, answer.result, _retry_after_s(attempt), random)
    return OutcomeRow(
        claim.delivery_id,
        step.state,
        step.delay_s,
        started_at,
        answer.duration_s,
        answer.status,
        answer.error,
        answer.response,
    )


def judge_health(attempts: Iterable[Attempt], is_failing: Callable[[str], bool]) -> list[HealthRow]:
    """Return what changed of the endpoints' health; one success outweighs failures beside it.

    By address: what is heard at one that was changed meanwhile says nothing of the new one.
    """
    by_address: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in attempts:
        by_address.setdefault((attempt.claim.endpoint_id, attempt.claim.url), []).append(attempt)
    rows = (_health(*address, batch) for address, batch in by_address.items())
    return [
        row
        for row in rows
        if not row.succeeded or row.gone or row.pause_s is not None or is_failing(row.endpoint_id)
    ]


def _health(endpoint_id: str, url: str, attempts: list[Attempt]) -> HealthRow:
    failed = [attempt for attempt in attempts if attempt.answer.result != "delivered"]
    return HealthRow(
        endpoint_id,
        url,
        len(failed) < len(attempts),
        any(attempt.answer.result == "gone" for attempt in failed),
        max(filter(None, map(_retry_after_s, failed)), default=None),
    )


def _retry_after_s(attempt: Attempt) -> float | None:
    if attempt.answer.retry_after is None:
        return None
    answered_at = attempt.started_at + timedelta(seconds=attempt.answer.duration_s)
    return parse_retry_after(attempt.answer.retry_after, answered_at)


def disabled_event(row: DisabledRow, now: datetime) -> Event:
    """Return the event that tells a tenant of a disabled endpoint."""
    return WebhookDisabled(
        id=make_event_id(now, "webhook.disabled", row.endpoint_id, now),
        tenant=row.tenant,
        occurred_at=now,
        data=DisabledEndpoint(
            endpoint_id=row.endpoint_id,
            url=row.url,
            reason="gone" if row.reason == "gone" else "failing",
            failing_since=row.failing_since,
        ),
    )
