"""Limits accept what reaches them exactly and refuse one unit more."""

from __future__ import annotations

import pytest

from custody.limits import Decision, History, Policy, Verdict, decide

POLICY = Policy(minor_min=10, minor_max=100, minor_max_day=250, count_max_hour=3, approval_minor=50)
NONE = History(0, 0)


@pytest.mark.parametrize(
    ("amount_minor", "history", "reason"),
    [
        (0, NONE, "amount_not_positive"),
        (-1, NONE, "amount_not_positive"),
        (9, NONE, "below_minimum"),
        (101, NONE, "above_maximum"),
        (100, History(151, 0), "above_daily_limit"),
        (10, History(0, 3), "too_many"),
    ],
)
def test_one_unit_beyond_a_limit_is_refused(
    amount_minor: int, history: History, reason: str
) -> None:
    assert decide(POLICY, history, amount_minor) == Decision(Verdict.REJECT, reason)


@pytest.mark.parametrize(
    ("amount_minor", "history", "verdict"),
    [
        (10, NONE, Verdict.ACCEPT),
        (49, History(201, 2), Verdict.ACCEPT),
        (50, NONE, Verdict.NEEDS_APPROVAL),
        (100, History(150, 2), Verdict.NEEDS_APPROVAL),
    ],
)
def test_what_reaches_a_limit_exactly_is_accepted(
    amount_minor: int, history: History, verdict: Verdict
) -> None:
    assert decide(POLICY, history, amount_minor).verdict is verdict


def test_without_limits_any_amount_is_accepted() -> None:
    policy = Policy(1, None, None, None, None)

    for amount_minor in (1, 10**77):
        accepted = decide(policy, History(10**77, 10**6), amount_minor)
        assert accepted == Decision(Verdict.ACCEPT)


def test_orders_add_up_in_the_history() -> None:
    assert NONE.add(5).add(7) == History(12, 2)
