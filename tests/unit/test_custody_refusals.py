"""Which refusals of a chain end a withdrawal, and which are waited out."""

from __future__ import annotations

import pytest

from chain_adapters.types import PaymentRefused
from custody.pay import Priced
from sql.transactions import PaymentRow

ROW = PaymentRow(
    withdrawal_id=1,
    tenant="acme",
    asset="USDT",
    contract="0xc",
    amount_minor=5,
    address="0xb",
    memo=None,
    sender="0xa",
    key_path="m/0",
    public_key=b"",
    halted_reason=None,
)


@pytest.mark.parametrize(
    ("reason", "hopeless"),
    [
        ("sender_lacks_funds", False),
        ("fee_above_cap", False),
        ("token_missing", False),  # so says every node that has only begun to read the chain
        ("recipient_reverts", True),
        ("amount_too_large", True),
    ],
)
def test_an_order_waits_for_what_may_pass(reason: str, hopeless: bool) -> None:
    assert Priced(ROW, refusal=PaymentRefused(reason, "")).is_hopeless is hopeless
