"""What a tenant's user may pay out: a pure decision, no clock and no database."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Policy(NamedTuple):
    """Limits of one asset, in its minor units; None means no limit."""

    minor_min: int
    minor_max: int | None
    minor_max_day: int | None
    count_max_hour: int | None
    approval_minor: int | None
    """From this amount on an operator decides; None: never."""


class History(NamedTuple):
    """What a user ordered of one asset before; refused and given up orders are not counted."""

    day_minor: int
    """Sum over the last 24 hours, without what failed in a block: it is back."""
    hour_count: int
    """Orders in the last hour; those that failed in a block too: each cost a fee."""

    def add(self, amount_minor: int) -> History:
        """Return the history with one more order."""
        return History(self.day_minor + amount_minor, self.hour_count + 1)


class Verdict(StrEnum):
    """What is to become of an order."""

    ACCEPT = "accept"
    NEEDS_APPROVAL = "needs_approval"
    REJECT = "reject"


class Decision(NamedTuple):
    """A verdict, and the machine-readable reason of a rejection."""

    verdict: Verdict
    reason: str | None = None


def decide(policy: Policy, history: History, amount_minor: int) -> Decision:
    """Judge one order. Limits are inclusive: an order that reaches one exactly is accepted."""
    reason = _rejection(policy, history.add(amount_minor), amount_minor)
    if reason is not None:
        return Decision(Verdict.REJECT, reason)
    if policy.approval_minor is not None and amount_minor >= policy.approval_minor:
        return Decision(Verdict.NEEDS_APPROVAL)
    return Decision(Verdict.ACCEPT)


def _rejection(policy: Policy, after: History, amount_minor: int) -> str | None:
    if amount_minor <= 0:
        return "amount_not_positive"
    if amount_minor < policy.minor_min:
        return "below_minimum"
    if _exceeds(amount_minor, policy.minor_max):
        return "above_maximum"
    if _exceeds(after.day_minor, policy.minor_max_day):
        return "above_daily_limit"
    if _exceeds(after.hour_count, policy.count_max_hour):
        return "too_many"
    return None


def _exceeds(value: int, limit: int | None) -> bool:
    return limit is not None and value > limit
