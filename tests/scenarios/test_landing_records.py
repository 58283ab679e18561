"""What blocks make of attempts and take back when they leave: each condition by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sql import transactions as transactions_sql
from sql.pool import Pool
from sql.transactions import Inclusion, MinedTransaction
from tests.support.records import NET, Records, open_records

DEPTH_MAX = 5
OTHER_NET = "test:2"
FORGOTTEN = {"height": 2, "block_id": "long forgotten"}
GONE = {"height": 9, "block_id": "left the chain"}


@pytest.fixture
async def records(pool: Pool) -> AsyncIterator[Records]:
    """Blocks 3 to 20 of a chain, searched up to 20."""
    async with open_records(pool) as made:
        await made.chain(3, 20, settled_height=20)
        yield made


@pytest.mark.parametrize(
    ("settled_height", "place", "taken_back"),
    [
        (20, {"height": 9}, False),
        (14, GONE, True),
        (15, GONE, False),  # whoever searched further began below it
        (8, {"height": 3, "block_id": "left the chain"}, True),
        (7, FORGOTTEN, False),
        (14, GONE | {"network": OTHER_NET}, False),
    ],
)
async def test_what_was_mined_in_a_block_that_left_the_chain_waits_again(
    records: Records, settled_height: int, place: dict[str, object], *, taken_back: bool
) -> None:
    await records.conn.execute("UPDATE cursors SET settled_height = $1", settled_height)
    await records.withdrawal(1)
    await records.attempt("x", 1, **place)
    found = await transactions_sql.unmine_transactions(records.conn, NET, DEPTH_MAX)
    height = place["height"]
    assert isinstance(height, int)
    gone = {1: Inclusion("x", height, "left the chain", 3)}
    assert found == (gone if taken_back else {})
    if not place.get("network"):
        assert await records.state("x") == ("broadcast" if taken_back else "mined")


async def test_only_what_was_settled_is_opened_again_each_time_in_its_next_revision(
    records: Records,
) -> None:
    for number, status in enumerate(("confirmed", "failed", "broadcast", "signed"), 1):
        await records.withdrawal(number, status, revision=7)
    found = await transactions_sql.unsettle_withdrawals(records.conn, [1, 2, 3, 4])
    assert [(one.withdrawal_id, one.status, one.revision) for one in found] == [
        (1, "broadcast", 8),
        (2, "broadcast", 8),
    ]


async def test_what_was_superseded_is_sent_again_only_if_nonce_or_coin_keeps_it_from_paying_twice(
    records: Records,
) -> None:
    await records.withdrawal(1)
    await records.attempt("counted", 1, "superseded", attempt=0, nonce=4)
    await records.attempt("coins", 1, "superseded", attempt=1, coins=["a:0"])
    await records.attempt("neither", 1, "superseded", attempt=2)
    await records.attempt("expired", 1, "expired", attempt=3, nonce=4, valid_until=1)
    await transactions_sql.revive_attempts(records.conn, [1])
    states = [await records.state(one) for one in ("counted", "coins", "neither", "expired")]
    assert states == ["broadcast", "broadcast", "superseded", "expired"]


@pytest.mark.parametrize("state", ["signed", "broadcast", "superseded", "expired"])
async def test_whatever_was_given_up_is_looked_for_in_blocks_and_known_when_it_lands(
    records: Records, state: str
) -> None:
    await records.withdrawal(1, "failed", nonce=4)
    await records.withdrawal(2)
    await records.attempt("paid", 2, height=9)
    await records.withdrawal(3, network=OTHER_NET)
    await records.attempt("elsewhere", 3, network=OTHER_NET)
    assert not await transactions_sql.has_open_transactions(records.conn, NET)
    await records.attempt("x", 1, state, nonce=4, valid_until=1)
    assert await transactions_sql.has_open_transactions(records.conn, NET)
    ids = ["x", "paid", "elsewhere"]
    found = await transactions_sql.open_transactions(records.conn, NET, ids)
    assert [(one.transaction_id, one.given_up, one.is_paid) for one in found] == [
        ("x", True, False)
    ]


@pytest.mark.parametrize(
    ("changes", "over"),
    [
        ({}, True),
        ({"state": "signed"}, True),
        ({"state": "expired", "valid_until": 1}, False),
        ({"nonce": 4}, False),
        ({"coins": ["a:0"]}, False),
        ({"withdrawal": 2}, False),
    ],
)
async def test_beside_a_payment_in_a_block_nothing_is_sent_that_would_pay_too(
    records: Records, changes: dict[str, object], *, over: bool
) -> None:
    row = {"state": "broadcast", "withdrawal": 1} | changes
    state, number = str(row.pop("state")), row.pop("withdrawal")
    assert isinstance(number, int)
    await records.withdrawal(1)
    await records.withdrawal(2)
    await records.attempt("landed", 1, "expired", attempt=0, valid_until=1)
    await records.attempt("x", number, state, attempt=1, **row)
    await transactions_sql.supersede_rivals(records.conn, NET, ["landed"])
    assert await records.state("landed") == "expired"
    assert await records.state("x") == ("superseded" if over else state)


async def test_a_fee_that_no_node_tells_is_what_was_signed_for_and_a_block_is_kept(
    records: Records,
) -> None:
    await records.withdrawal(1)
    await records.withdrawal(2)
    await records.attempt("x", 1)
    await records.attempt("mined", 2, height=9)
    mined = [
        MinedTransaction(id_, 12, "b12", succeeded=True, fee_minor=None, confirm_height=13)
        for id_ in ("x", "mined")
    ]
    await transactions_sql.mine_transactions(records.conn, NET, mined)
    rows = await records.conn.fetch(
        "SELECT height, fee_minor FROM transactions ORDER BY withdrawal_id"
    )
    assert [(row["height"], int(row["fee_minor"])) for row in rows] == [(12, 7), (9, 3)]


async def test_money_comes_back_once(records: Records) -> None:
    await records.withdrawal(1)
    await records.attempt("x", 1, height=9)
    back = [await transactions_sql.return_transactions(records.conn, NET, ["x"]) for _ in range(2)]
    assert back == [{1: Inclusion("x", 9, "b9", 3)}, {}]


@pytest.mark.parametrize(
    ("changes", "settled"),
    [
        ({}, True),
        ({"status": "signed"}, True),
        (FORGOTTEN, True),
        ({"height": 15, "confirm_height": 20}, True),
        ({"confirm_height": 21}, False),
        ({"height": 16}, False),  # beyond what is final
        (GONE, False),
        ({"height": 3, "block_id": "left the chain"}, False),
        ({"status": "failed"}, False),
        ({"status": "confirmed"}, False),
    ],
)
@pytest.mark.parametrize("succeeded", [True, False])
async def test_a_payment_is_settled_when_its_block_is_deep_final_and_in_the_chain(
    records: Records, changes: dict[str, object], *, settled: bool, succeeded: bool
) -> None:
    row = {"height": 9, "status": "broadcast", "succeeded": succeeded} | changes
    await records.withdrawal(1, str(row.pop("status")))
    await records.attempt("x", 1, **row)
    await records.withdrawal(2)
    await records.attempt("unmined", 2)
    found = await transactions_sql.settle_withdrawals(records.conn, NET, 20, 15)
    status = "confirmed" if succeeded else "failed"
    assert [one.status for one, _ in found] == ([status] if settled else [])
    again = await transactions_sql.settle_withdrawals(records.conn, NET, 20, 15)
    assert again == []


async def test_all_that_was_on_its_way_is_superseded(records: Records) -> None:
    await records.withdrawal(1)
    states = ("signed", "broadcast", "expired")
    for attempt, state in enumerate(states):
        await records.attempt(state, 1, state, attempt=attempt, nonce=4, valid_until=1)
    await records.attempt("mined", 1, attempt=3, height=9)
    await transactions_sql.supersede_attempts(records.conn, [1])
    found = [await records.state(id_) for id_ in (*states, "mined")]
    assert found == ["superseded", "superseded", "expired", "mined"]


@pytest.mark.parametrize("status", ["confirmed", "failed"])
async def test_what_blocks_decided_is_found_by_their_heights(records: Records, status: str) -> None:
    for number, height in enumerate((8, 9, 10, 11), 1):
        await records.withdrawal(number, status if number != 3 else "broadcast")
        await records.attempt(f"{number}", number, height=height)
    for first, last, numbers in ((8, 9, [1, 2]), (9, 11, [2, 4])):
        found = await transactions_sql.decided_withdrawals(records.conn, NET, first, last)
        assert [one.withdrawal_id for one, _ in found] == numbers


async def test_a_block_is_noted_of_what_a_wallet_paid_for_and_the_cost_tells_before_the_rest(
    records: Records,
) -> None:
    for id_ in ("left", "free"):
        await records.insert(
            "foreign_transactions", network=NET, transaction_id=id_, address="hot", height=7
        )
    await records.cost("paid", 9)
    await records.cost("left", 9, status="orphaned")
    heights = [
        await transactions_sql.noted_height(records.conn, NET, id_)
        for id_ in ("paid", "left", "free", "unknown")
    ]
    assert heights == [9, 7, 7, None]


async def test_whose_payment_it_is_each_network_tells_of_its_own(records: Records) -> None:
    await records.withdrawal(1)
    await records.attempt("x", 1)
    assert await transactions_sql.paid_order(records.conn, NET, "x") == ("acme", "order-1")
    assert await transactions_sql.paid_order(records.conn, OTHER_NET, "x") is None


async def test_only_what_may_be_paid_now_is_priced_and_from_the_hot_wallet_with_its_own_key(
    records: Records,
) -> None:
    await records.insert("assets", asset="COIN", network=NET, decimals=18)
    keys = [(0, "m/0", b"deposit"), (1, "m/1", b"hot"), (0, "m/1", b"another")]
    for index, (branch, path, key) in enumerate(keys):
        await records.insert(
            "key_pool",
            network=NET,
            branch=branch,
            key_index=index,
            key_path=path,
            public_key=key,
        )
    hot, pooled = "our hot wallet", "memos are told apart here"
    rows = [(hot, "hot", NET), ("alice's", "deposit", NET), (pooled, "pooled", NET)]
    for serial, (address, purpose, network) in enumerate([*rows, ("hot", "hot", OTHER_NET)]):
        await records.insert(
            "addresses",
            network=network,
            address=address,
            serial=serial,
            tenant="acme",
            owner="alice" if purpose == "deposit" else "",
            purpose=purpose,
            key_path="m/1" if purpose == "hot" else f"m/0/{serial}",
        )
    for number, status in enumerate(("approved", "signed", "failed"), 1):
        await records.withdrawal(number, status)
    await records.withdrawal(4, "approved", network=OTHER_NET)
    found = await transactions_sql.read_payments(records.conn, NET, [1, 2, 3, 4], ["approved"])
    assert [(one.withdrawal_id, one.sender, one.key_path, one.public_key) for one in found] == [
        (1, hot, "m/1", b"hot")
    ]
