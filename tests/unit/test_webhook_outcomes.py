"""What a batch of attempts means for an endpoint."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from notifications.outcomes import Attempt, disabled_event, judge, judge_health
from notifications.post import Answer
from sql.notifications import Claim, DisabledRow, HealthRow
from topics.events import WebhookDisabled

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = "https://old.example/", "https://new.example/"
HEARD = Answer("delivered", 0.1, 200)
REFUSED = Answer("refused", 0.1, 500, "HTTP 500")
GONE = Answer("gone", 0.1, 410, "HTTP 410")
PAUSES = [REFUSED._replace(retry_after=str(pause_s)) for pause_s in (20, 60, 40)]


def attempt(answer: Answer, url: str = OLD, made: int = 0) -> Attempt:
    claim = Claim(1, made, "evt_1", b"{}", "ep_1", url, b"", None, False, "acme")
    return Attempt(claim, NOW, answer)


@pytest.mark.parametrize(
    ("answers", "row"),
    [
        ([REFUSED], HealthRow("ep_1", OLD, False, False, None)),
        ([REFUSED, HEARD], None),
        ([GONE], HealthRow("ep_1", OLD, False, True, None)),
        ([GONE, REFUSED], HealthRow("ep_1", OLD, False, True, None)),
        ([GONE, HEARD], HealthRow("ep_1", OLD, True, True, None)),
        (PAUSES, HealthRow("ep_1", OLD, False, False, 60.0)),
        ([*PAUSES, HEARD], HealthRow("ep_1", OLD, True, False, 60.0)),
        ([HEARD], None),
    ],
)
def test_one_success_is_health_and_what_an_endpoint_asks_for_counts_beside_it(
    answers: list[Answer], row: HealthRow | None
) -> None:
    attempts = [attempt(answer) for answer in answers]
    assert judge_health(attempts, lambda _: False) == ([] if row is None else [row])


def test_a_success_is_news_of_an_endpoint_that_failed() -> None:
    healthy = HealthRow("ep_1", OLD, True, False, None)
    assert judge_health([attempt(HEARD)], lambda _: True) == [healthy]


def test_each_address_is_judged_by_what_was_heard_there() -> None:
    rows = judge_health([attempt(GONE), attempt(HEARD, NEW)], lambda _: True)
    assert rows == [
        HealthRow("ep_1", OLD, False, True, None),
        HealthRow("ep_1", NEW, True, False, None),
    ]


def test_a_moment_to_come_back_at_is_waited_for_from_the_answer_on() -> None:
    moment = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    slow = REFUSED._replace(duration_s=30.0, retry_after=moment)
    assert judge_health([attempt(slow)], lambda _: False)[0].pause_s == 60.0
    assert judge(attempt(slow), lambda: 0.5).delay_s == 60.0


def test_ten_attempts_are_made_of_which_those_before_count() -> None:
    assert judge(attempt(REFUSED, made=0), lambda: 0.5).delay_s == 5
    assert judge(attempt(REFUSED, made=8), lambda: 0.5).state == "pending"
    assert judge(attempt(REFUSED, made=9), lambda: 0.5).state == "failed"


@pytest.mark.parametrize("reason", ["gone", "failing"])
def test_who_is_disabled_is_told_why(reason: str) -> None:
    event = disabled_event(DisabledRow("ep_1", "acme", OLD, reason, NOW), NOW)
    assert isinstance(event, WebhookDisabled)
    assert event.data.reason == reason
