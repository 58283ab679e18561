"""What looks like a deposit on Solana and is none, or is an odd one. Also listed for people to
read in docs/odd_deposits/solana.md, which is made from the table of tests/support."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain_adapters.types import Block, NodeUnavailable
from tests.support.solana_odd_deposits import CASES, RENT, WAIT, Case
from tests.support.solana_vectors import MINT, OTHER, OURS, PAYER, SENDER, craft, read_block, wrap

LISTING = Path(__file__).parents[2] / "docs" / "odd_deposits" / "solana.md"


def read(case: Case) -> Block:
    return read_block(wrap([case.transaction, craft((OTHER, 10, 5), fee=5)]))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_read_is_what_the_table_says(case: Case) -> None:
    if case.expected is WAIT:
        with pytest.raises(NodeUnavailable):
            read(case)
        return
    names = {None: "SOL", MINT: "token"}
    transfers = [t for x in read(case).transactions for t in x.transfers if t.address == OURS]
    assert [(names.get(t.contract, "other token"), t.amount_minor) for t in transfers] == (
        case.expected
    )


@pytest.mark.parametrize("case", [c for c in CASES if c.expected is not WAIT], ids=lambda c: c.name)
def test_no_transaction_keeps_the_others_of_its_block_from_being_read(case: Case) -> None:
    assert read(case).transactions[-1].payer == OTHER


@pytest.mark.parametrize("case", [c for c in CASES if c.expected], ids=lambda c: c.name)
def test_fees_and_transfers_explain_what_the_payer_lost(case: Case) -> None:
    transaction = read(case).transactions[0]
    meta = case.transaction["meta"]
    sent = sum(
        t.amount_minor
        for t in transaction.transfers
        if t.sender == PAYER == t.sender and t.contract is None
    )
    assert transaction.fee_minor is not None
    assert transaction.fee_minor + sent == meta["preBalances"][0] - meta["postBalances"][0]


def test_rent_is_part_of_the_fee() -> None:
    [case] = [case for case in CASES if case.name == "rent of a token account"]
    assert read(case).transactions[0].fee_minor == 5000 + RENT


def test_what_is_left_out_is_told() -> None:
    odd: list[str] = []
    block = wrap([case.transaction for case in CASES if case.name.endswith(("words", "future"))])
    assert read_block(block, odd=odd).transactions == ()
    assert len(odd) == 2


def test_the_sender_is_told_where_there_is_only_one() -> None:
    of = {c.name: read(c).transactions[0].transfers[0].sender for c in CASES if c.expected}
    assert of["SOL"] == PAYER
    assert (
        of["SOL of another"]
        == of["inner transfer"]
        == of["fee kept back"]
        == of["given account"]
        == SENDER
    )
    assert of["first token"] is None


def describe(case: Case) -> str:
    if case.expected is WAIT:
        return "block asked for again"
    return ", ".join(f"{amount} {asset}" for asset, amount in case.expected) or "nothing"


def make_listing() -> str:
    """Return docs/odd_deposits/solana.md."""
    rows = [f"| {case.name} | {case.what} | {describe(case)} |" for case in CASES]
    return (
        "# Odd deposits on Solana\n\n"
        "Each line is a crafted transaction that pays, or seems to pay, an address of ours, and"
        " what is read of it.\n"
        "Made from the table in tests/support/solana_odd_deposits.py, of which"
        " tests/unit/test_solana_fakes.py tests every line.\n\n"
        "| name | what | read as |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def test_the_list_for_people_is_this_table() -> None:
    assert LISTING.read_text() == make_listing()
