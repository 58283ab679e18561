"""The retry schedule and what answers mean."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from notifications.schedule import (
    RETRY_AFTER_S_MAX,
    RETRY_DELAYS_S,
    judge_attempt,
    judge_status,
    parse_retry_after,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("attempt", range(1, 10))
def test_each_failure_waits_for_the_next_delay_give_or_take_a_fifth(attempt: int) -> None:
    delay_s = RETRY_DELAYS_S[attempt]
    waits = [
        judge_attempt(attempt, "refused", None, chances.pop).delay_s
        for chances in ([0.0], [0.5], [1.0])
    ]
    assert waits == pytest.approx([delay_s * 0.8, delay_s, delay_s * 1.2])


def test_the_tenth_failure_is_the_last() -> None:
    assert judge_attempt(9, "timeout", None, lambda: 0.5).state == "pending"
    assert judge_attempt(10, "timeout", None, lambda: 0.5).state == "failed"


def test_success_alone_is_final_before_the_schedule_is_spent() -> None:
    assert judge_attempt(1, "gone", None, lambda: 0.5).state == "pending"
    assert judge_attempt(1, "delivered", None, lambda: 0.5).state == "delivered"


def test_retry_after_lengthens_a_wait_and_never_shortens_it() -> None:
    longer = judge_attempt(1, "refused", 60.0, lambda: 0.5)
    shorter = judge_attempt(2, "refused", 60.0, lambda: 0.5)
    assert longer.delay_s == 60
    assert shorter.delay_s == 300


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("99999999999999999999", float(RETRY_AFTER_S_MAX)),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=900), usegmt=True), float(RETRY_AFTER_S_MAX)),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 +99999999999999999", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_a_moment_without_a_zone_is_one_of_utc_whatever_the_zone_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert parse_retry_after("Thu Jan  1 00:01:30 2026", NOW) == 90
    time.tzset()


def test_only_2xx_is_success() -> None:
    assert {status for status in range(100, 600) if judge_status(status) == "delivered"} == set(
        range(200, 300)
    )
    assert [status for status in range(100, 600) if judge_status(status) == "gone"] == [410]
