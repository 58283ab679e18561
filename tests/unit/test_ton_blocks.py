"""Recorded transactions are read exactly, and blocks wholly or not at all."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pytoniq_core import Cell

from chain_adapters.ton import cells, wire
from chain_adapters.ton.constants import FULL_SHARD
from chain_adapters.ton.decode import Facts, Held, hex_hash
from chain_adapters.ton.jettons import LAYOUTS, Master, make_master, owner_in_state
from chain_adapters.ton.reading import check_complete, check_walk
from chain_adapters.ton.tokens import guess_owner
from chain_adapters.types import NodeUnavailable, Transfer
from tests.support.ton_vectors import (
    OWNER,
    RECORDED,
    SENDER,
    encode,
    load_transactions,
    message,
    read,
    read_block,
    transaction,
)

PAYER = "0:4e3664faee814fbdb6c1cb36d72bac52d15e186c11ecd664fe1b3f1a7cfd801d"
PAID = "0:9da971af38d2f03abdf308d5f91636a97e5a2b07a66c39d71d7cbae3b032eddc"
USDT = "0:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe"
USDT_WALLET = "0:c4072d7b04ab4c504cd223dfde42c8037c6a99272d3624aec2cbff2e72b102dd"

JETTONS = "toncenter_v3_traces_ft_received"


def test_a_payment_with_a_comment_is_two_transactions() -> None:
    block = read_block(load_transactions("toncenter_v3_traces_ton_received"))
    order, arrival = block.transactions
    payer = "0:8b704249e018faa59bdc356f463a7a34fc0201dbbfa7441a387be83e9fffbfc4"
    assert (order.payer, order.succeeded, order.transfers) == (payer, True, ())
    assert order.id == hex_hash("5ZE2Wd7qqsXayiYwBX5nppsRjJs5skws/GTmIdK6Vs4=")
    memo = "text:На покупку Dust"
    assert arrival.transfers == (Transfer("in", payer, PAID, None, 250_000_000, memo),)
    assert arrival.id == hex_hash("tM6zkZCPH1fQGar8JoCDFD00D+zRtsbFDUsCYdDFMD0=")
    assert (order.fee_minor, arrival.fee_minor) == (2_427_786, 396_408)


def test_jettons_arrive_at_the_wallet_that_the_master_gives() -> None:
    transactions = load_transactions(JETTONS)
    facts = Facts({USDT_WALLET: Held(PAID, USDT)}, {})
    block = read_block(transactions, facts)
    transfers = [t for transaction in block.transactions for t in transaction.transfers]
    assert [t for t in transfers if t.contract is not None] == [
        Transfer("jetton", PAYER, PAID, USDT, 3_000_000)
    ]
    assert read_block(transactions).transactions[2].transfers[1:] == ()


def test_an_nft_is_no_money_but_the_native_money_with_it_is() -> None:
    block = read_block(load_transactions("toncenter_v3_traces_nft_received"))
    received = [t for x in block.transactions for t in x.transfers if t.address == PAID]
    assert [(t.contract, t.amount_minor) for t in received] == [(None, 1)]


def test_an_undeployed_account_receives() -> None:
    name = "toncenter_v3_transactions_testnet_jetton_notification_and_comment"
    first, second = read_block(load_transactions(name)).transactions
    assert [(t.amount_minor, t.memo) for t in first.transfers] == [(10**9, "text:1985597651")]
    assert [(t.amount_minor, t.memo, t.contract) for t in second.transfers] == [(1, None, None)]


@pytest.mark.parametrize("name", RECORDED)
def test_transfers_and_fees_explain_the_recorded_balances(name: str) -> None:
    transactions = load_transactions(name)
    read_by_hash = dict(
        zip(
            [t["hash"] for t in sorted(transactions, key=lambda t: int(t["lt"]))],
            read_block(transactions).transactions,
            strict=True,
        )
    )
    for recorded in transactions:
        before = recorded["account_state_before"]["balance"]
        after = recorded["account_state_after"]["balance"]
        if after is None or (before is None and recorded["orig_status"] != "nonexist"):
            continue  # the index keeps no state between two transactions of one block
        found = read_by_hash[recorded["hash"]]
        came = sum(t.amount_minor for t in found.transfers)
        went = sum(int(m["value"] or 0) for m in recorded["out_msgs"])
        assert int(after) - int(before or 0) == came - went - (found.fee_minor or 0)


def with_balances(before: object, after: object, **changes: object) -> dict[str, Any]:
    """A transaction by which 7 TON came and 1 TON went, for 40,000 and 266,669 nanotons."""
    sent = message(source=OWNER.upper(), destination=SENDER.upper(), value="1000000000")
    told: dict[str, Any] = {
        "account_state_before": {"balance": before},
        "account_state_after": {"balance": after},
        **changes,
    }
    return transaction(message(), out=[sent], **told)


LEFT_MINOR = 5_999_693_331
"""Of 7 TON that came, after 1 TON that went and all fees."""


def test_a_balance_that_says_otherwise_than_the_messages_makes_no_block() -> None:
    assert read(with_balances("5", str(LEFT_MINOR + 5))).transfers[0].amount_minor == 7 * 10**9
    for wrong in (LEFT_MINOR + 4, LEFT_MINOR + 6):
        with pytest.raises(NodeUnavailable, match="balance"):
            read(with_balances("5", str(wrong)))


def test_an_account_that_was_not_there_had_nothing() -> None:
    new = {"orig_status": "nonexist"}
    assert read(with_balances(None, str(LEFT_MINOR), **new)).transfers
    with pytest.raises(NodeUnavailable, match="balance"):
        read(with_balances(None, str(LEFT_MINOR + 1), **new))


@pytest.mark.parametrize(
    "unknown",
    [
        with_balances(None, "1"),
        with_balances("1", None),
        with_balances("1", "1", account_state_before=None),
        with_balances("1", "1", account_state_after=None),
        with_balances("1", "1", account=f"-1:{'5' * 64}"),
    ],
    ids=["before", "after", "no state before", "no state after", "masterchain"],
)
def test_where_balances_are_not_told_or_coins_are_made_none_is_compared(
    unknown: dict[str, Any],
) -> None:
    assert read(unknown).succeeded


def test_the_fee_for_instant_routing_is_no_money() -> None:
    """Since version 12 of the network flags stand in its place."""
    flagged = transaction(message(ihr_fee="3"))
    assert [t.amount_minor for t in read(flagged).transfers] == [7 * 10**9]
    assert read(flagged).fee_minor == 40_000


def test_where_instant_routing_was_paid_the_balance_may_have_it() -> None:
    came = message(ihr_fee="3")
    sent = message(source=OWNER.upper(), destination=SENDER.upper(), ihr_fee="1", value="10")
    for left in (7 * 10**9 - 40_000 - 266_669 - 10, 7 * 10**9 - 40_000 - 266_669 - 8):
        states = {
            "account_state_before": {"balance": "0"},
            "account_state_after": {"balance": str(left)},
        }
        assert read(transaction(came, out=[sent], **states)).transfers


@pytest.mark.parametrize("name", RECORDED)
def test_the_order_of_answers_does_not_matter(name: str) -> None:
    transactions = load_transactions(name)
    shuffled = random.Random(7).sample(transactions, len(transactions))
    assert read_block(shuffled) == read_block(transactions)


@pytest.mark.parametrize("name", RECORDED)
def test_ids_of_external_messages_are_worked_out_where_they_are_not_told(name: str) -> None:
    transactions = load_transactions(name)
    expected = [t.id for t in read_block(transactions).transactions]
    told = [t["in_msg"].pop("hash_norm", None) for t in transactions]
    if any(told):
        assert [t.id for t in read_block(transactions).transactions] == expected


@pytest.mark.parametrize("name", RECORDED)
def test_cells_are_read_as_another_implementation_reads_them(name: str) -> None:
    for recorded in load_transactions(name):
        for told in [recorded["in_msg"], *recorded["out_msgs"]]:
            encoded = told["message_content"]["body"]
            root, ours = Cell.one_from_boc(encoded), cells.read_cells(encoded)[0]
            assert (ours.length, len(ours.refs)) == (len(root.bits), len(root.refs))
            assert f"{ours.bits:0{ours.length}b}" == root.bits.to01() or ours.length == 0


def usdt_code() -> Cell:
    (arrival,) = [t for t in load_transactions(JETTONS) if t["in_msg"]["init_state"]]
    code: Cell = Cell.one_from_boc(arrival["in_msg"]["init_state"]["body"]).refs[0]
    return code


def test_jetton_wallets_are_worked_out_without_asking() -> None:
    master = make_master(USDT, usdt_code(), {PAID: USDT_WALLET})
    assert master.layout == LAYOUTS[1]
    assert master.wallet_address(PAID) == USDT_WALLET
    assert master.wallet_address(PAYER) != USDT_WALLET


def test_a_layout_that_does_not_fit_is_not_taken() -> None:
    assert make_master(USDT, usdt_code(), {PAID: USDT_WALLET, PAYER: USDT_WALLET}).layout is None
    assert Master(USDT, usdt_code(), LAYOUTS[0]).wallet_address(PAID) != USDT_WALLET


def test_the_owner_is_guessed_from_the_notification_or_the_first_state() -> None:
    arrivals = wire.decode_transactions(encode(load_transactions(JETTONS))).transactions
    (arrival,) = [t for t in arrivals if t.in_msg and t.in_msg.init_state]
    assert guess_owner(arrival) == PAID
    arrival.out_msgs = []
    assert guess_owner(arrival) == PAID
    assert arrival.in_msg is not None
    arrival.in_msg.init_state = None
    assert guess_owner(arrival) is None
    assert owner_in_state([cells.Node(0, 0, ())]) is None


def ref(seqno: int, shard: str = FULL_SHARD) -> wire.BlockRef:
    return wire.BlockRef(0, shard, seqno)


def shard_block(seqno: int, *parents: wire.BlockRef, shard: str = FULL_SHARD) -> wire.BlockHeader:
    hash_ = "A" * 43 + "="
    return wire.BlockHeader(0, shard, seqno, hash_, -239, "1", 0, list(parents))


LEFT, RIGHT = "4000000000000000", "c000000000000000"


def test_every_shard_block_between_two_masterchain_blocks_is_walked() -> None:
    blocks = [shard_block(5, ref(4)), shard_block(6, ref(5))]
    check_walk(frozenset({ref(6)}), frozenset({ref(4)}), blocks)
    check_walk(frozenset({ref(4)}), frozenset({ref(4)}), [])


def test_splits_and_merges_are_walked() -> None:
    split = [shard_block(5, ref(4), shard=LEFT), shard_block(5, ref(4), shard=RIGHT)]
    tops = frozenset({ref(5, LEFT), ref(5, RIGHT)})
    check_walk(tops, frozenset({ref(4)}), split)
    merged = [*split, shard_block(6, ref(5, LEFT), ref(5, RIGHT))]
    check_walk(frozenset({ref(6)}), frozenset({ref(4)}), merged)
    with pytest.raises(NodeUnavailable, match="missing"):
        check_walk(frozenset({ref(6)}), frozenset({ref(4)}), [split[0], merged[2]])


def test_a_shard_block_that_is_missing_or_too_much_makes_no_block() -> None:
    with pytest.raises(NodeUnavailable, match="missing"):
        check_walk(frozenset({ref(6)}), frozenset({ref(4)}), [shard_block(6, ref(5))])
    with pytest.raises(NodeUnavailable, match="missing"):
        check_walk(frozenset({ref(6)}), frozenset({ref(4)}), [])
    with pytest.raises(NodeUnavailable, match="did not commit"):
        blocks = [shard_block(5, ref(4)), shard_block(6, ref(5))]
        check_walk(frozenset({ref(5)}), frozenset({ref(4)}), blocks)


def test_transactions_that_are_missing_doubled_or_foreign_make_no_block() -> None:
    found = wire.decode_transactions(encode(load_transactions(JETTONS))).transactions
    place, height = found[0].block_ref, found[0].mc_block_seqno
    check_complete(height, {place: len(found)}, found)
    with pytest.raises(NodeUnavailable, match="not all there"):
        check_complete(height, {place: len(found)}, found[1:])
    with pytest.raises(NodeUnavailable, match="twice"):
        check_complete(height, {place: len(found)}, [*found[1:], found[1]])
    with pytest.raises(NodeUnavailable, match="another block"):
        check_complete(height + 1, {place: len(found)}, found)
    with pytest.raises(NodeUnavailable, match="not all there"):
        check_complete(height, {ref(1): len(found)}, found)
