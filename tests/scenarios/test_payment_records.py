"""Which attempts are sent, replaced or expired: each condition by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agents.parts.expiry import final_clock
from agents.parts.finality import is_final
from agents.runtime.stage import Work
from settings.model import Network
from sql import attempts as attempts_sql
from sql import transactions as transactions_sql
from sql import withdrawals as withdrawals_sql
from sql.attempts import StuckWithdrawal
from sql.pool import Pool
from tests.support.records import AGE_S, LONG_S, NET, SHORT_S, Records, open_records

CLOCK = 50
OTHER_NET = "test:2"


@pytest.fixture
async def records(pool: Pool) -> AsyncIterator[Records]:
    """Blocks 3 to 20 of a chain, searched up to 20."""
    async with open_records(pool) as made:
        await made.chain(3, 20, settled_height=20)
        yield made


async def stuck(records: Records, clock: int | None = CLOCK) -> list[StuckWithdrawal]:
    return await attempts_sql.stuck_transactions(records.conn, NET, AGE_S, clock)


WAITS, EXPIRED = [StuckWithdrawal(1, expired=False)], [StuckWithdrawal(1, expired=True)]


@pytest.mark.parametrize(
    ("first_sent_s", "changes", "expected"),
    [
        (LONG_S, {}, WAITS),
        (LONG_S, {"state": "signed"}, WAITS),
        (LONG_S, {"last_outcome": "refused"}, WAITS),
        (-LONG_S, {}, WAITS),  # the clock was set back
        (SHORT_S, {}, []),
        (-SHORT_S, {}, []),
        (None, {}, []),
        (LONG_S, {"state": "superseded"}, []),
        (LONG_S, {"last_outcome": "nonce_used"}, []),
        (LONG_S, {"network": OTHER_NET}, []),
        (None, {"valid_until": CLOCK - 1}, EXPIRED),
        (LONG_S, {"valid_until": CLOCK}, []),
        (LONG_S, {"valid_until": CLOCK - 1, "state": "expired"}, []),
    ],
)
async def test_what_waits_for_long_or_expired_needs_another_transaction(
    records: Records,
    first_sent_s: float | None,
    changes: dict[str, object],
    expected: list[StuckWithdrawal],
) -> None:
    await records.withdrawal(1, nonce=4)
    sent = None if first_sent_s is None else records.ago(first_sent_s)
    row = {"nonce": 4, "first_sent_at": sent} | changes
    await records.attempt("x", 1, str(row.pop("state", "broadcast")), **row)
    assert await stuck(records) == expected


async def test_nothing_has_expired_while_no_clock_is_known(records: Records) -> None:
    await records.withdrawal(1)
    await records.attempt("x", 1, valid_until=0)
    assert await stuck(records, None) == []


async def test_the_latest_attempt_tells_how_long_one_waits_and_the_longest_lived_when_it_expired(
    records: Records,
) -> None:
    for number in (1, 2):
        await records.withdrawal(number, nonce=number)
        sent = [records.ago(LONG_S), records.ago(SHORT_S)]
        for attempt, at in enumerate(sent if number == 1 else sent[::-1]):
            id_ = f"{number}-{attempt}"
            await records.attempt(id_, number, attempt=attempt, nonce=4, first_sent_at=at)
    await records.withdrawal(3)
    for attempt, valid_until in enumerate((CLOCK - 1, CLOCK, CLOCK - 2)):
        id_ = f"3-{attempt}"
        await records.attempt(
            id_, 3, attempt=attempt, nonce=4, valid_until=valid_until, state="broadcast"
        )
    assert [one.withdrawal_id for one in await stuck(records)] == [2]
    assert [one.withdrawal_id for one in await stuck(records, CLOCK + 1)] == [2, 3]


@pytest.mark.parametrize("first", [{"height": 9}, {"unsigned": b""}], ids=["mined", "adopted"])
async def test_what_is_in_a_block_or_was_adopted_is_not_replaced(
    records: Records, first: dict[str, object]
) -> None:
    await records.withdrawal(1, nonce=4)
    await records.attempt("x", 1, nonce=4, **first)
    await records.attempt("y", 1, nonce=4, attempt=1, first_sent_at=records.ago(LONG_S))
    assert await stuck(records) == []


async def test_of_each_wallet_the_lowest_nonce_that_is_not_used_is_replaced_first(
    records: Records,
) -> None:
    rows = [("hot", 4, "nonce_used"), ("hot", 5, None), ("hot", 6, None), ("cold", 9, None)]
    for number, (sender, nonce, outcome) in enumerate(rows, 1):
        await records.withdrawal(number, sender=sender, nonce=nonce)
        await records.attempt(
            f"{number}",
            number,
            sender=sender,
            nonce=nonce,
            last_outcome=outcome,
            first_sent_at=records.ago(LONG_S),
        )
    for number in (5, 6):
        coin = f"{number}:0"
        await records.withdrawal(number, sender="purse", coin=coin)
        await records.attempt(
            coin,
            number,
            sender="purse",
            coin=coin,
            coins=[coin],
            first_sent_at=records.ago(LONG_S),
        )
    assert [one.withdrawal_id for one in await stuck(records)] == [2, 4, 5, 6]


@pytest.mark.parametrize(
    ("before", "mined_s", "waits"),
    [
        ({"nonce": 3}, SHORT_S, False),
        ({"nonce": 3}, LONG_S, True),
        ({"nonce": 3, "next_sent": False}, LONG_S, False),
        ({"nonce": 2}, SHORT_S, True),
        ({"nonce": 3, "sender": "cold"}, SHORT_S, True),
        ({"nonce": 3, "network": OTHER_NET}, SHORT_S, True),
        ({"nonce": 3, "status": "failed", "nonce_released": True}, SHORT_S, True),
    ],
)
async def test_a_nonce_waits_only_since_the_one_before_it_was_mined(
    records: Records, before: dict[str, object], mined_s: float, *, waits: bool
) -> None:
    before = dict(before)
    sent = records.ago(LONG_S) if before.pop("next_sent", True) else None
    await records.withdrawal(1, nonce=4)
    await records.attempt("x", 1, nonce=4, first_sent_at=sent)
    await records.withdrawal(2, str(before.pop("status", "broadcast")), **before)
    await records.attempt("y", 2, height=9, mined_at=records.ago(mined_s))
    assert await stuck(records) == (WAITS if waits else [])


@pytest.mark.parametrize(("status", "needed"), [("broadcast", True), ("failed", False)])
async def test_an_attempt_whose_change_a_live_order_spends_is_sent_alone_and_not_replaced(
    records: Records, status: str, *, needed: bool
) -> None:
    await records.withdrawal(1, coin="a:0")
    await records.withdrawal(2, status)
    await records.coin("early:1", status="orphaned")
    await records.claim("early:1", 2)
    for attempt, id_ in enumerate(("early", "late")):
        await records.attempt(
            id_,
            1,
            attempt=attempt,
            coins=["a:0"],
            first_sent_at=records.ago(LONG_S),
            last_sent_at=records.ago(LONG_S),
        )
    assert await stuck(records) == ([] if needed else WAITS)
    sent = ["early"] if needed else ["early", "late"]
    assert await sendable(records, "early", "late") == sent
    assert await unseen(records) == sent


async def sendable(records: Records, *ids: str) -> list[str]:
    found = await transactions_sql.sendable_transactions(records.conn, NET, ids)
    return [one.transaction_id for one in found]


async def unseen(records: Records) -> list[str]:
    found = await transactions_sql.unseen_transactions(records.conn, NET, AGE_S, 100)
    return [one.transaction_id for one in found]


@pytest.mark.parametrize(
    ("state", "sent_s", "changes", "again"),
    [
        ("broadcast", LONG_S, {}, True),
        ("signed", LONG_S, {}, True),
        ("broadcast", -LONG_S, {}, True),  # the clock was set back
        ("broadcast", SHORT_S, {}, False),
        ("broadcast", -SHORT_S, {}, False),
        ("superseded", LONG_S, {}, False),
        ("expired", LONG_S, {"valid_until": 1}, False),
        ("broadcast", LONG_S, {"raw": b""}, False),
        ("broadcast", LONG_S, {"network": OTHER_NET}, False),
    ],
)
async def test_what_no_block_showed_for_a_while_is_sent_again(
    records: Records, state: str, sent_s: float, changes: dict[str, object], *, again: bool
) -> None:
    await records.withdrawal(1)
    await records.attempt("x", 1, state, last_sent_at=records.ago(sent_s), **changes)
    assert await unseen(records) == (["x"] if again else [])


async def test_nothing_is_sent_again_of_what_is_paid_and_nonces_go_in_order(
    records: Records,
) -> None:
    for number, nonce in ((1, 5), (2, 4), (3, 3)):
        await records.withdrawal(number, nonce=nonce)
        await records.attempt(f"{number}", number, nonce=nonce, last_sent_at=records.ago(LONG_S))
    await records.attempt("paid", 3, nonce=3, attempt=1, height=9)
    assert await unseen(records) == ["2", "1"]
    await records.withdrawal(4)
    await records.attempt("over", 4, "superseded")
    assert await sendable(records, "1", "2", "paid", "over") == ["2", "1"]


async def test_what_a_node_took_is_broadcast_and_what_is_over_stays_so(records: Records) -> None:
    before = records.ago(LONG_S)
    for number, state in enumerate(("signed", "signed", "superseded", "broadcast"), 1):
        await records.withdrawal(number)
        await records.attempt(
            f"{number}", number, state, first_sent_at=before if number == 4 else None
        )
    answers = [
        ("1", "accepted", ""),
        ("2", "unknown", ""),
        ("3", "accepted", ""),
        ("4", "refused", ""),
    ]
    await transactions_sql.record_broadcasts(records.conn, NET, answers)
    states = [await records.state(id_) for id_ in "1234"]
    assert states == ["broadcast", "signed", "superseded", "broadcast"]
    rows = await records.conn.fetch(
        "SELECT first_sent_at, last_sent_at FROM transactions ORDER BY transaction_id"
    )
    assert [row["first_sent_at"] for row in rows] == [records.now] * 3 + [before]
    assert {row["last_sent_at"] for row in rows} == {records.now}


async def test_an_attempt_expires_when_the_final_chain_is_beyond_it_and_not_before(
    records: Records,
) -> None:
    await records.withdrawal(1)
    rows = [
        ("signed", 49),
        ("broadcast", 49),
        ("broadcast", 50),
        ("superseded", 49),
        ("broadcast", None),
    ]
    for attempt, (state, until) in enumerate(rows):
        await records.attempt(
            f"{attempt}", 1, state, attempt=attempt, coins=["a:0"], valid_until=until
        )
    await attempts_sql.expire_transactions(records.conn, [1], CLOCK)
    states = [await records.state(id_) for id_ in "01234"]
    assert states == ["expired", "expired", "broadcast", "superseded", "broadcast"]


async def test_nodes_are_asked_of_every_attempt_that_expiry_alone_keeps_from_landing(
    records: Records,
) -> None:
    await records.withdrawal(1)
    await records.attempt("old", 1, "expired", attempt=0, valid_until=1)
    await records.attempt("new", 1, attempt=1, valid_until=CLOCK)
    await records.attempt("counted", 1, attempt=2, nonce=4)
    await records.attempt("coins", 1, attempt=3, coins=["a:0"])
    found = await attempts_sql.unguarded_attempts(records.conn, [1])
    assert {id_: number for id_, (number, _) in found.items()} == {"old": 1, "new": 1}


async def test_the_latest_attempt_is_that_of_what_is_in_no_block(records: Records) -> None:
    for number in (1, 2):
        await records.withdrawal(number)
        await records.attempt(f"{number}-0", number, "expired", attempt=0, valid_until=1)
        await records.attempt(f"{number}-1", number, attempt=1, nonce=1)
    await records.attempt("mined", 2, attempt=2, height=9)
    found = await attempts_sql.latest_attempts(records.conn, [1, 2])
    assert {number: one.transaction_id for number, one in found.items()} == {1: "1-1"}


@pytest.mark.parametrize(
    ("confirmations", "settled_height", "finality", "height"),
    [
        (1, 20, "depth", 19),  # of the newest block parts may be unsearched
        (1, 12, "depth", 11),
        (4, 20, "depth", 17),
        (1, 20, "finalized", 15),
        (1, None, "depth", None),
    ],
)
async def test_the_final_clock_is_of_a_block_that_is_deep_final_and_searched_whole(
    records: Records,
    confirmations: int,
    settled_height: int | None,
    finality: str,
    height: int | None,
) -> None:
    await records.conn.execute(
        "UPDATE cursors SET settled_height = $1, finalized_height = 15", settled_height
    )
    config = Network(
        network=NET,
        kind="simulated",
        rpc_urls=("simulated",),
        native_asset="COIN",
        confirmations=confirmations,
        finality=finality,  # type: ignore[arg-type] # one of those
    )
    assert await final_clock(records.conn, config) == height  # a block's clock is its height here


@pytest.mark.parametrize(
    ("finality", "height", "final"),
    [
        ("depth", 17, True),
        ("depth", 18, False),
        ("finalized", 15, True),
        ("finalized", 16, False),
        ("safe", 15, False),  # the node has not said
    ],
)
async def test_money_goes_back_for_a_block_as_deep_as_the_payments_own_and_final_by_the_chain(
    records: Records, finality: str, height: int, *, final: bool
) -> None:
    await records.insert(
        "networks",
        network=NET,
        kind="simulated",
        native_asset="COIN",
        confirmations=4,
        finality=finality,
    )
    await records.insert("assets", asset="COIN", network=NET, decimals=8)
    await records.conn.execute("UPDATE cursors SET finalized_height = 15")
    await records.withdrawal(1)
    [lost] = await withdrawals_sql.lock_withdrawals(records.conn, [1], ["broadcast"])
    assert await is_final(Work(records.conn), NET, lost, height) is final
