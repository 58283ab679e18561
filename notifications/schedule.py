"""When an attempt is repeated and what its outcome means. Pure: chance comes from outside.

The delays are those of Standard Webhooks.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

RETRY_DELAYS_S = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""Before the first attempt, before the second, …: ten attempts in about three days."""
JITTER = 0.2
"""A delay is drawn from ±20 % around its value, so that failures do not come back all at once."""
RETRY_AFTER_S_MAX = 86400
"""Nobody is waited for longer than this because of a Retry-After."""

Result = Literal["delivered", "refused", "timeout", "unreachable", "forbidden", "gone"]
"""delivered: 2xx. refused: any other answer, redirects included. gone: 410.

timeout, unreachable: no answer. forbidden: an address that must not be reached, nothing was sent.
"""


class NextStep(NamedTuple):
    """What is to become of a delivery after an attempt."""

    state: Literal["pending", "delivered", "failed"]
    delay_s: float
    """Until the next attempt."""


def judge_status(status: int) -> Result:
    """Return what an HTTP status means."""
    if 200 <= status < 300:
        return "delivered"
    return "gone" if status == 410 else "refused"


def judge_attempt(
    attempt: int,
    result: Result,
    retry_after_s: float | None,
    random: Callable[[], float],
) -> NextStep:
    """Decide on a delivery after its attempt number `attempt` (from 1).

    `random` returns a number from 0 up to 1. A Retry-After can make the wait longer, never shorter.
    Gone is no end by itself: the endpoint may have another address by now, and else is disabled.
    """
    if result == "delivered":
        return NextStep("delivered", 0.0)
    if attempt >= len(RETRY_DELAYS_S):
        return NextStep("failed", 0.0)
    delay_s = RETRY_DELAYS_S[attempt] * (1 + JITTER * (2 * random() - 1))
    return NextStep("pending", max(delay_s, retry_after_s or 0.0))


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3), capped.

    Both forms are read, a number of seconds and an HTTP date. None if it is unreadable.
    """
    text = value.strip()
    seconds = float(text[:12]) if text.isascii() and text.isdigit() else _seconds_until(text, now)
    return None if seconds is None else min(max(seconds, 0.0), float(RETRY_AFTER_S_MAX))


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for a year or an hour of twenty digits
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()
