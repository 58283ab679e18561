"""What of a block a hot wallet paid for that is not ours, and how far blocks are searched."""

from __future__ import annotations

import pytest

from agents.match_deposits import whole_height
from agents.parts.halting import foreign_transactions, unaccounted_reason
from agents.parts.judge_transfer import Known
from sql.addresses import OwnedAddress
from sql.wallets import ForeignTransaction, Unaccounted
from topics.blocks import BlockAdded, BlockRecord, BlockRemoved, TransactionRecord

HOT = OwnedAddress("hot", "t", "", "hot")
GAS = OwnedAddress("gas", "t", "", "gas")


def block(height: int, part: int = 0, parts: int = 1) -> BlockAdded:
    return BlockAdded("sim:1", height, f"b{height}", "", 0, part, parts, [])


@pytest.mark.parametrize(
    ("payer", "known", "found"),
    [
        ("hot", set(), True),
        ("hot", {"x"}, False),
        ("gas", set(), False),
        ("somebody", set(), False),
        (None, set(), False),
    ],
)
@pytest.mark.parametrize("fee_minor", [None, "0", "7"])
@pytest.mark.parametrize("succeeded", [True, False])
def test_what_a_hot_wallet_paid_for_is_not_ours_unless_we_made_it(
    payer: str | None, known: set[str], found: bool, fee_minor: str | None, succeeded: bool
) -> None:
    made = TransactionRecord("x", payer, succeeded, fee_minor, [])
    told = foreign_transactions([(block(5), made)] * 2, Known({"hot": HOT, "gas": GAS}, {}, known))
    assert told == ([ForeignTransaction("x", "hot", 5)] if found else [])


def test_a_halt_names_the_newest_of_what_is_not_ours() -> None:
    assert (
        unaccounted_reason(Unaccounted("hot", 1, "x", 5, 0))
        == "transaction x in block 5 is not ours"
    )
    assert unaccounted_reason(Unaccounted("hot", 3, "x", 5, 2)) == (
        "3 transactions are not ours, the newest is transaction x in block 5"
    )


@pytest.mark.parametrize(
    ("records", "height"),
    [
        ([], None),
        ([block(4), block(5)], 5),
        ([block(5), block(6, 0, 2)], 5),
        ([block(6, 0, 2), block(6, 1, 2)], 6),
        ([block(5), block(9)], 5),  # of another branch, or of a database that was lost
        ([BlockRemoved("sim:1", 6, "b6")], None),
    ],
)
def test_blocks_are_searched_up_to_the_last_whole_one_that_stands(
    records: list[BlockRecord], height: int | None
) -> None:
    assert whole_height(records, {(n, f"b{n}") for n in (4, 5, 6)}) == height
