"""What looks like a deposit on TON and is none, or is an odd one. Also listed for people to read
in docs/odd_deposits/ton.md, which is made from the same table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chain_adapters.ton.decode import Facts
from chain_adapters.types import Transaction
from tests.support.ton_odd_deposits import CASES
from tests.support.ton_odd_parts import (
    BOUNCED,
    FAILED,
    NOTHING,
    SENT_NATIVE,
    WALLETS,
    Case,
    rooted,
)
from tests.support.ton_vectors import MASTER, OWNER, body, bounce, phases, read, transaction

LISTING = Path(__file__).parents[2] / "docs" / "odd_deposits" / "ton.md"


RAN = phases()


def show(found: Transaction) -> str:
    """Write what a transaction was read as."""
    parts = [
        f"{t.amount_minor} {'jetton' if t.contract else 'native'} ({t.index})"
        + (f" {t.memo}" if t.memo else "")
        for t in found.transfers
    ]
    if found.returns is not None:
        parts.append(f"returns {found.returns}")
    return ", ".join(parts) or NOTHING


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_odd_deposits_are_read_as_listed(case: Case) -> None:
    found = read(case.transaction, case.facts)
    assert show(found) == case.expected
    assert found.succeeded or not found.transfers
    for transfer in found.transfers:
        assert transfer.address == OWNER
        assert transfer.contract in {None, MASTER}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whatever_is_read_the_balance_of_the_account_is_explained(case: Case) -> None:
    """Between credits and what was sent, only the fee is left, whatever its sign."""
    found = read(case.transaction, case.facts)
    came = case.transaction["in_msg"]
    worth = int(came["value"] or 0) if came and came["source"] else 0
    sent = case.transaction["out_msgs"]
    change = worth - 40_000 - sum(int(m["fwd_fee"]) + int(m["value"]) for m in sent)
    credited = sum(t.amount_minor for t in found.transfers if t.contract is None)
    taken_back = 9_000_000_000 if case.name == "payment of ours returned" else 0
    assert change == credited + taken_back - (found.fee_minor or 0)


@pytest.mark.parametrize(
    ("description", "facts", "succeeded"),
    [
        (RAN, WALLETS, True),
        (FAILED, WALLETS, False),
        (FAILED, rooted(SENT_NATIVE), True),
    ],
    ids=["a stranger's, taken", "a stranger's, refused", "of ours, whatever the wallet made of it"],
)
def test_a_bounce_took_effect_if_it_ran_or_brought_a_payment_of_ours_back(
    description: dict[str, Any], facts: Facts, succeeded: bool
) -> None:
    found = read(transaction(bounce(body((BOUNCED, 32))), description), facts)
    assert (found.succeeded, found.transfers) == (succeeded, ())


def test_the_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def listing() -> str:
    lines = [
        "# Odd deposits on TON",
        "",
        "Each line is a crafted transaction that pays, or seems to pay, an address of ours, and "
        "what is read of it. Amounts are nanotons, or minor units of the jetton.",
        "Made from the table in tests/support/ton_odd_deposits.py; tests/unit/test_ton_fakes.py "
        "holds the adapter to every line, and "
        "tests/unit/test_ton_node.py lets the network's own executor run the worst of them.",
        "",
        "| name | what | read as |",
        "| --- | --- | --- |",
        *(f"| {c.name} | {c.what} | {shorten(c.expected)} |" for c in CASES),
    ]
    return "\n".join(lines) + "\n"


def shorten(text: str) -> str:
    return text if len(text) < 80 else text[:40] + "…"


def test_the_listing_is_what_is_tested() -> None:
    assert LISTING.read_text() == listing()
