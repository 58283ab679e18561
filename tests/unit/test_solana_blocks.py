"""Recorded answers of Solana's nodes are read exactly."""

from __future__ import annotations

import pytest

from chain_adapters.solana.decode import skipped_id, skipped_slot
from chain_adapters.solana.wire import WireHeader
from chain_adapters.types import NodeUnavailable
from devstack.chains.solana_shapes import show_accounts
from tests.support.solana_vectors import (
    BLOCKHASH,
    PARENT_HASH,
    SLOT,
    load_accounts,
    load_block,
    load_transactions,
    read_block,
    read_one,
    wrap,
)

Row = tuple[str, str | None, str, str | None, int]
"""Index's kind, sender, recipient, mint and minor units; keys are cut."""

EXPECTED: dict[str, tuple[bool, int, list[Row]]] = {
    "native_sol_transfer": (True, 5000, [("sol", "BLw3", "FDUG", None, 100_000_000)]),
    "send_usdc_transfer": (True, 5000, [("spl", "BLw3", "BXT1", "4zMM", 10_000)]),
    "send_usdc_transfer_to_self": (True, 5000, []),
    "send_jup_transfer_checked_to_self": (True, 80_001, []),
    # Token-2022; rent of 2,074,080 for the recipient's account is part of what the sender lost.
    "send_spl_token_and_create_token_account": (
        True,
        2_079_302,
        [("spl", "EMmT", "BYh4", "HeLp", 10_000_000)],
    ),
    "failed_swap": (False, 520_451, []),
    "devnet_5nFUQgNSdqTd": (False, 5000, []),
    "localnet_2GxBKbLxsLC2": (
        True,
        12_000,
        [("sol", "37yG", "9dcA", None, 2_000_000), ("spl", "37yG", "9dcA", "CRpc", 24_000_000)],
    ),
    # Lamports that a program paid out of its own account, in one transaction to two.
    "localnet_4ZuPTkYtBGDy": (
        True,
        5000,
        [("sol", "9dcA", "VqaC", None, 500_000), ("sol", "9dcA", "37yG", None, 500_000)],
    ),
    # The payer closed its token account, so it got more than the fee took.
    "swap_sol_to_usdc": (
        True,
        15_072,
        [
            ("sol", None, "3xTP", None, 1_039_280),
            ("sol", None, "4cLU", None, 8750),
            ("spl", "Fn68", "3xTP", "EPjF", 167_225),
            ("spl", None, "Fn68", "So11", 991_250),
        ],
    ),
    "swap_trump_to_jup": (
        True,
        2_081_156,
        [
            ("spl", "FgTC", "8VCf", "JUPy", 1_265_445),
            ("spl", "8VCf", "4cLU", "6p6x", 437),
            ("spl", "AvBS", "FgTC", "So11", 3_679_489),
            ("spl", "8VCf", "3AbG", "6p6x", 49_563),
            ("spl", "3AbG", "AvBS", "EPjF", 543_506),
        ],
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_transaction_is_read_exactly(name: str) -> None:
    [recorded] = load_transactions(f"gettransaction_{name}")
    succeeded, fee_minor, rows = EXPECTED[name]
    read = read_one(show_accounts(recorded))
    assert read.id == recorded["transaction"]["signatures"][0]
    assert read.payer == recorded["transaction"]["message"]["accountKeys"][0]
    assert (read.succeeded, read.fee_minor) == (succeeded, fee_minor)
    assert [
        (
            t.index[:3],
            t.sender and t.sender[:4],
            t.address[:4],
            t.contract and t.contract[:4],
            t.amount_minor,
        )
        for t in read.transfers
    ] == rows


def test_indexes_tell_the_transfers_of_a_transaction_apart() -> None:
    for name in ("gettransaction_spam", "gettransaction_localnet_ayu91XsBcdpq"):
        transfers = read_one(load_accounts(name)[0]).transfers
        assert len({t.index for t in transfers}) == len(transfers) > 10
        assert {t.amount_minor for t in transfers} <= {1, 50_000, 500_000}


def test_accounts_out_of_lookup_tables_are_resolved() -> None:
    name = "getblock_slot_154808473_trimmed_v0_loadedaddresses"
    block = read_block(load_block(name), 154808473)
    [transaction] = block.transactions
    assert (block.height, block.clock, block.time) == (154808473, 139827481, 1633504705)
    assert block.block_id == "FQUbe5QqZN2RqeViRThTFfFqGA2QLUeAqZDbbrMSmac9"
    assert block.parent_id == "8fXykXUEoTSofMDMN5E55JMv2eVpc75E3iYC38Qkq193"
    assert [t.amount_minor for t in transaction.transfers] == [
        11594,
        11149,
        11143,
        22364264,
        137,
        22343229,
        53517,
    ]
    [recorded] = load_transactions(name)
    assert len(recorded["transaction"]["message"]["accountKeys"]) == 6
    assert len(recorded["meta"]["postBalances"]) == 41


def test_votes_are_left_out_and_failed_ones_cost_their_fee() -> None:
    name = "getblock_slot_100000000_trimmed_json"
    block = read_block(load_block(name), 100_000_000)
    recorded = [t["transaction"]["signatures"][0] for t in load_transactions(name)]
    assert [recorded.index(t.id) for t in block.transactions] == [3, 4, 6, 7, 8, 9]
    assert [t.succeeded for t in block.transactions] == 4 * [True] + 2 * [False]
    assert {t.fee_minor for t in block.transactions} == {5000}
    assert not any(t.transfers for t in block.transactions)


def test_an_error_is_an_object_or_a_text() -> None:
    name = "getblock_error_shapes_string_and_object"
    block = read_block(load_block(name), 100_000_000)
    errors = [t["meta"]["err"] for t in load_transactions(name)]
    assert [type(error) for error in errors] == [type(None), dict, str]
    assert [t.succeeded for t in block.transactions] == [False, False]


def test_a_block_names_the_slot_before_it_even_if_that_was_skipped() -> None:
    assert read_block(wrap([])).parent_id == PARENT_HASH
    after_two = read_block(wrap([], parentSlot=SLOT - 3))
    assert after_two.parent_id == skipped_id(PARENT_HASH, SLOT - 1)


def test_skipped_slots_are_linked_to_both_sides() -> None:
    header = WireHeader(BLOCKHASH, PARENT_HASH, SLOT - 3, 100, 1000)
    first, second = (skipped_slot(slot, header) for slot in (SLOT - 2, SLOT - 1))
    assert first.parent_id == PARENT_HASH
    assert second.parent_id == first.block_id != second.block_id
    assert read_block(wrap([], parentSlot=SLOT - 3)).parent_id == second.block_id
    assert (first.clock, first.time, first.transactions) == (99, 1000, ())


def test_the_first_block_of_all_has_no_slot_before_it() -> None:
    first = read_block(wrap([], parentSlot=0, blockHeight=0), 0)
    assert (first.height, first.parent_id, first.clock) == (0, PARENT_HASH, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"parentSlot": SLOT},
        {"parentSlot": SLOT + 1},
        {"blockHeight": None},
        {"blockTime": None},
        {"blockTime": -1},
    ],
    ids=["its own parent", "of a later slot", "no height", "no time", "time before 1970"],
)
def test_a_header_that_cannot_be_is_no_block(changes: dict[str, object]) -> None:
    with pytest.raises(NodeUnavailable):
        read_block(wrap([], **changes))


def test_a_node_that_leaves_out_loaded_accounts_is_not_believed() -> None:
    with pytest.raises(NodeUnavailable, match="loaded"):
        read_one(load_accounts("gettransaction_swap_a16z_usdt_sol")[0])
