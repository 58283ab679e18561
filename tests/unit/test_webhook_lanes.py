"""Endpoints do not wait for each other."""

from __future__ import annotations

from notifications.lanes import WINDOW_FIRST, Lanes
from sql.notifications import Claim


def claims(endpoint_id: str, count: int, *, failing: bool = False) -> list[Claim]:
    return [
        Claim(number, 0, f"evt_{number}", b"", endpoint_id, "", b"", None, failing)
        for number in range(count)
    ]


def take_all(lanes: Lanes) -> list[Claim]:
    return list(iter(lanes.take, None))


def test_a_new_endpoint_gets_a_few_requests_at_a_time() -> None:
    lanes = Lanes(flying_max=100, window_max=32)
    lanes.add(claims("a", 50))
    assert len(take_all(lanes)) == WINDOW_FIRST


def test_endpoints_take_turns_when_places_are_short() -> None:
    lanes = Lanes(flying_max=4, window_max=32)
    lanes.add(claims("a", 50))
    lanes.add(claims("b", 50))
    assert [claim.endpoint_id for claim in take_all(lanes)] == ["a", "b", "a", "b"]


def test_an_endpoint_that_answers_gets_more_up_to_the_limit() -> None:
    lanes = Lanes(flying_max=1000, window_max=6)
    lanes.add(claims("a", 500))
    for _ in range(20):
        for claim in take_all(lanes):
            lanes.land(claim, succeeded=True)
    assert len(take_all(lanes)) == 6


def test_a_failure_gives_back_the_rest_and_leaves_one_probe() -> None:
    lanes = Lanes(flying_max=100, window_max=32)
    lanes.add(claims("a", 50))
    flying = take_all(lanes)
    returned = [claim for sent in flying for claim in lanes.land(sent, succeeded=False)]
    assert len(returned) == 50 - len(flying)
    assert lanes.held == 0
    assert lanes.rooms() == {"a": 0}
    lanes.unblock(["a"])
    assert lanes.rooms() == {"a": 1}


def test_an_endpoint_known_to_fail_begins_with_one_probe() -> None:
    lanes = Lanes(flying_max=100, window_max=32)
    lanes.add(claims("a", 50, failing=True))
    assert len(take_all(lanes)) == 1


def test_nothing_queued_survives_the_loss_of_the_lease() -> None:
    lanes = Lanes(flying_max=100, window_max=32)
    lanes.add(claims("a", 50))
    flying = take_all(lanes)
    lanes.clear()
    assert (lanes.queued, lanes.flying) == (0, len(flying))
    for claim in flying:
        lanes.land(claim, succeeded=True)
    assert (lanes.held, lanes.take()) == (0, None)
