"""What a rescan tells the ledger again: each credit that stood before is undone before the next."""

from __future__ import annotations

import pytest

from agents.parts.lost_facts import cost_facts, deposit_facts
from sql.deposits import Deposit
from sql.network_costs import NetworkCost

DEPOSIT = Deposit(
    deposit_id=1,
    revision=0,
    tenant="acme",
    owner="alice",
    purpose="deposit",
    asset="ETH",
    amount_minor="7",
    network="eip155:1",
    address="0xa",
    transaction_id="0x1",
    transfer_index="log:0",
    height=5,
    memo=None,
    status="confirmed",
    ignored_reason=None,
    sender=None,
    contract=None,
    confirm_height=7,
    block_id="0xb",
)
COST = NetworkCost(1, 0, "acme", "hot", "ETH", "7", "eip155:1", "0xa", "0x1", 5, "0xb")


@pytest.mark.parametrize(
    ("revision", "status", "expected"),
    [
        (0, "detected", []),
        (0, "confirmed", [("DepositConfirmed", 0)]),
        (0, "orphaned", [("DepositOrphaned", 0)]),
        (1, "ignored", [("DepositOrphaned", 0)]),
        (2, "detected", [("DepositOrphaned", 0), ("DepositOrphaned", 1)]),
        (1, "confirmed", [("DepositOrphaned", 0), ("DepositConfirmed", 1)]),
    ],
)
def test_every_earlier_credit_of_a_deposit_is_undone_before_it_is_credited_anew(
    revision: int, status: str, expected: list[tuple[str, int]]
) -> None:
    facts = deposit_facts(DEPOSIT._replace(revision=revision, status=status), 9)
    assert [(type(fact).__name__, getattr(fact, "revision", None)) for fact in facts] == expected


@pytest.mark.parametrize(
    ("revision", "status", "expected"),
    [
        (0, "detected", []),
        (0, "disowned", [("NetworkCostOrphaned", 0)]),
        (1, "confirmed", [("NetworkCostOrphaned", 0), ("NetworkCostConfirmed", 1)]),
        (1, "orphaned", [("NetworkCostOrphaned", 0), ("NetworkCostOrphaned", 1)]),
    ],
)
def test_every_earlier_expense_is_undone_before_it_is_booked_anew(
    revision: int, status: str, expected: list[tuple[str, int]]
) -> None:
    facts = cost_facts(COST._replace(revision=revision), status)
    assert [(type(fact).__name__, getattr(fact, "revision", None)) for fact in facts] == expected
