"""Endpoints do not wait for each other."""

from __future__ import annotations

import pytest

from notifications.lanes import WINDOW_FIRST, Lanes
from sql.notifications import Claim


def claims(
    endpoint_id: str, count: int, *, failing: bool = False, tenant: str = "acme"
) -> list[Claim]:
    return [
        Claim(number, 0, f"evt_{number}", b"", endpoint_id, "", b"", None, failing, tenant)
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


def test_no_room_is_no_debt_while_requests_sent_before_a_failure_are_under_way() -> None:
    lanes = Lanes(flying_max=100, window_max=32)
    lanes.add(claims("a", 50))
    lanes.land(take_all(lanes)[0], succeeded=False)
    lanes.unblock(["a"])
    assert lanes.rooms() == {"a": 0}


def test_the_deliveries_of_an_endpoint_go_in_the_order_given() -> None:
    lanes = Lanes(flying_max=100, window_max=32)
    lanes.add(claims("a", 50))
    assert [claim.delivery_id for claim in take_all(lanes)] == [0, 1, 2, 3]


def test_each_answer_makes_room_for_one_request_more() -> None:
    lanes = Lanes(flying_max=100, window_max=32)
    lanes.add(claims("a", 50))
    lanes.land(take_all(lanes)[0], succeeded=True)
    assert len(take_all(lanes)) == 2


def test_no_endpoint_gets_more_than_the_limit_from_the_start() -> None:
    lanes = Lanes(flying_max=100, window_max=2)
    lanes.add(claims("a", 50))
    assert len(take_all(lanes)) == 2


def test_whether_an_endpoint_fails_is_what_was_read_or_written_last() -> None:
    lanes = Lanes(flying_max=100, window_max=32)
    assert not lanes.is_failing("a")
    lanes.add(claims("a", 1))
    assert not lanes.is_failing("a")
    lanes.add(claims("a", 1, failing=True))
    assert lanes.is_failing("a")
    lanes.mark("a", failing=False)
    assert not lanes.is_failing("a")


def test_of_very_many_endpoints_those_are_forgotten_with_which_nothing_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("notifications.lanes.LANES_MAX", 2)
    lanes = Lanes(flying_max=100, window_max=32)
    for endpoint in ("idle", "failed", "flying"):
        lanes.add(claims(endpoint, 1, tenant=endpoint))
    idle, failed, flying = take_all(lanes)
    lanes.land(idle, succeeded=True)
    lanes.land(failed, succeeded=False)
    assert lanes.rooms() == {"failed": 0, "flying": 31}
    assert lanes.held_by() == {"flying": 1}
    lanes.land(flying, succeeded=True)
    assert (lanes.held, lanes.held_by()) == (0, {})


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


def test_hanging_tenants_leave_room_for_one_more_however_many_they_are() -> None:
    lanes = Lanes(flying_max=64, window_max=32)
    for tenant in range(15):
        for endpoint in range(40):
            lanes.add(claims(f"{tenant}-{endpoint}", 4, tenant=f"hostile-{tenant}"))
    hanging = take_all(lanes)
    assert len(hanging) < 128
    lanes.add(claims("ours", 50, tenant="ours"))
    assert [claim.endpoint_id for claim in take_all(lanes)] == ["ours"] * WINDOW_FIRST


def test_a_tenant_alone_has_all_the_requests_and_what_lands_is_given_on() -> None:
    lanes = Lanes(flying_max=10, window_max=32)
    for endpoint in range(5):
        lanes.add(claims(f"a-{endpoint}", 20))
    flying = take_all(lanes)
    assert len(flying) == 10
    lanes.add(claims("b", 50, tenant="b"))
    flying += take_all(lanes)
    assert {claim.tenant for claim in flying[10:]} == {"b"}
    lanes.land(flying.pop(0), succeeded=True)
    assert lanes.held_by() == {"acme": 99, "b": 50}
    landed = 1
    while flying := [*flying, *take_all(lanes)]:
        lanes.land(flying.pop(0), succeeded=True)
        landed += 1
    assert landed == 150
    assert lanes.held_by() == {}


def test_tenants_take_turns_whatever_the_number_of_their_endpoints() -> None:
    lanes = Lanes(flying_max=4, window_max=32)
    for endpoint in range(9):
        lanes.add(claims(f"a-{endpoint}", 4))
    lanes.add(claims("b", 4, tenant="b"))
    assert [claim.tenant for claim in take_all(lanes)][:4] == ["acme", "b", "acme", "b"]
