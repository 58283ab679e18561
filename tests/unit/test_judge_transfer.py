"""What a transfer to an address of ours is, and from which height on it may be relied on."""

from __future__ import annotations

import pytest

from agents.parts.judge_transfer import Hit, Known, new_deposit
from sql.addresses import OwnedAddress
from sql.deposits import AssetPolicy, DepositPolicy, NewDeposit
from topics.blocks import BlockAdded, TransactionRecord, TransferRecord

OWNED = {
    "alices": OwnedAddress("alices", "acme", "alice", "deposit"),
    "pool": OwnedAddress("pool", "acme", "", "pooled"),
    "hot": OwnedAddress("hot", "acme", "", "hot"),
}
KNOWN = Known(OWNED, {("pool", "id:7"): "bob"}, {"ours"})
POLICY = DepositPolicy(3, "depth", {None: AssetPolicy("COIN", 10, ((1000, 30), (100, 12), (0, 3)))})


def judge(
    address: str,
    amount_minor: int,
    *,
    sender: str | None = "stranger",
    transaction_id: str = "x",
    contract: str | None = None,
    memo: str | None = None,
    depth_min: int = 1,
) -> NewDeposit:
    transfer = TransferRecord("0", sender, address, contract, str(amount_minor), memo, depth_min)
    transaction = TransactionRecord(transaction_id, None, True, None, [transfer])
    block = BlockAdded("net:1", 50, "b", "a", 0, 0, 1, [transaction])
    return new_deposit(Hit(block, transaction, transfer), KNOWN, POLICY)


@pytest.mark.parametrize(
    ("deposit", "reason"),
    [
        (judge("alices", 10), None),
        (judge("alices", 9), "below_minimum"),
        (judge("pool", 9), "below_minimum"),
        (judge("hot", 9), None),  # the tenant's own wallets take whatever comes
        (judge("alices", 9, contract="unlisted"), "unknown_token"),
        (judge("alices", 99, sender="hot"), "own_transfer"),
        (judge("hot", 9, sender="hot"), "own_transfer"),
        (judge("hot", 99, sender=None, transaction_id="ours"), "own_transfer"),
        (judge("hot", 99, sender=None), None),
        (judge("alices", 99, transaction_id="ours"), None),  # its sender tells that it is not
        (judge("hot", 99, sender="hot", contract="unlisted"), "unknown_token"),
    ],
)
def test_what_is_not_credited_and_why(deposit: NewDeposit, reason: str | None) -> None:
    assert deposit.ignored_reason == reason


@pytest.mark.parametrize(
    ("deposit", "height"),
    [
        (judge("alices", 99), 52),
        (judge("alices", 100), 61),
        (judge("alices", 999), 61),
        (judge("alices", 1000), 79),
        (judge("alices", 99, depth_min=5), 54),  # the chain asks for more than we do
        (judge("alices", 1000, depth_min=5), 79),
        (judge("hot", 1000, sender="hot"), 50),
        (judge("hot", 1000, sender="hot", depth_min=5), 54),
        (judge("alices", 1000, contract="unlisted"), 52),
    ],
)
def test_money_is_relied_on_as_deep_as_its_amount_and_its_chain_ask_for(
    deposit: NewDeposit, height: int
) -> None:
    assert deposit.confirm_height == height


@pytest.mark.parametrize(
    ("address", "memo", "owner"),
    [
        ("alices", None, "alice"),
        ("alices", "id:7", "alice"),
        ("pool", "id:7", "bob"),
        ("pool", "id:8", ""),
        ("pool", None, ""),
        ("hot", "id:7", ""),
    ],
)
def test_a_memo_tells_the_owner_on_a_pooled_address_alone(
    address: str, memo: str | None, owner: str
) -> None:
    assert judge(address, 10, memo=memo).owner == owner
