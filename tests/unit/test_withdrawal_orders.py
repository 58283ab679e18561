"""Commands are read and judged without a database; what is odd is said and nothing is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.resend_withdrawals import BATCH_ROWS, Round, next_round
from chain_adapters.types import PaymentRefused, Quote
from custody import orders
from custody.orders import Refusal, Unanswerable, read_command
from custody.pay import ForeignUse, Priced, chain_nonces, find_foreign_use, ready_payments
from sql.transactions import PaymentRow
from sql.wallets import NonceRow
from sql.withdrawals import WithdrawalPolicy
from tests.support.event_examples import read_event
from topics.events import encode_event
from topics.withdrawals import WithdrawalCommand

COMMAND = {
    "type": "withdrawal.request",
    "tenant": "acme",
    "id": "order-1",
    "owner": "alice",
    "asset": "ETH",
    "amount_minor": "100",
    "address": "0x" + "ab" * 20,
}
ROW = PaymentRow(1, "acme", "ETH", "0xto", 100, None, None, "0xhot", "m/0/0", None, None)
POLICY = WithdrawalPolicy(
    asset="ETH",
    network="net:1",
    contract=None,
    native_asset="ETH",
    confirmations=((0, 1),),
    finality="depth",
    minor_min=1,
    minor_max=None,
    minor_max_day=None,
    count_max_hour=None,
    approval_minor=None,
    fee_minor=0,
)


def read(**changes: object) -> WithdrawalCommand | Refusal:
    return read_command(json.dumps(COMMAND | changes).encode())


def test_the_hash_does_not_depend_on_the_order_of_fields_nor_on_a_missing_memo() -> None:
    first, second = read(), read_command(json.dumps(dict(reversed(COMMAND.items()))).encode())
    third = read(memo=None)
    assert isinstance(first, WithdrawalCommand)
    assert isinstance(second, WithdrawalCommand)
    assert isinstance(third, WithdrawalCommand)
    assert orders.hash_request(first) == orders.hash_request(second) == orders.hash_request(third)


@pytest.mark.parametrize("field", [name for name in COMMAND if name not in ("type", "tenant")])
def test_the_hash_depends_on_every_field(field: str) -> None:
    first, second = read(), read(**{field: "7"})
    assert isinstance(first, WithdrawalCommand)
    assert isinstance(second, WithdrawalCommand)
    assert orders.hash_request(first) != orders.hash_request(second)


def test_a_refusal_repeats_what_was_said() -> None:
    refusal = read(amount_minor=100)
    assert isinstance(refusal, Refusal)
    assert (refusal.tenant, refusal.idempotency_key, refusal.owner) == ("acme", "order-1", "alice")
    assert (refusal.reason, refusal.amount_minor) == ("bad_field:amount_minor", None)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    with pytest.raises(Unanswerable):
        read_command(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a first run makes its tables
@given(st.dictionaries(st.sampled_from([*COMMAND, "memo", "x\n\0"]), json_values, max_size=4))
def test_any_values_are_an_order_a_refusal_or_unanswerable(changes: dict[str, object]) -> None:
    try:
        answer = read_command(json.dumps(COMMAND | changes).encode())
    except Unanswerable:
        assert changes["tenant"] != "acme"
        return
    if isinstance(answer, Refusal):
        event = orders.refused_event(answer, datetime.now(UTC))
        assert read_event(encode_event(event)) == event
        assert answer.reason.startswith("bad_field:")


def test_orders_of_unlimited_assets_are_taken_in_one_round() -> None:
    commands = [WithdrawalCommand.model_validate(COMMAND | {"id": str(n)}) for n in range(3)]
    limited = POLICY._replace(count_max_hour=5)
    assert orders.split_rounds(commands, {"ETH": POLICY}) == [commands]
    assert orders.split_rounds(commands, {"ETH": limited}) == [[c] for c in commands]
    assert orders.split_rounds(commands, {}) == [commands]
    assert orders.split_rounds([], {}) == []


def test_only_quoted_and_approved_payments_with_a_wallet_are_ready() -> None:
    quote = Quote(1, 0, b"", 10**6, 10**6)
    refused = PaymentRefused("sender_lacks_funds", "empty")
    priced = [
        Priced(ROW._replace(withdrawal_id=4), quote),
        Priced(ROW, quote),
        Priced(ROW._replace(withdrawal_id=2), refusal=refused),
        Priced(ROW._replace(withdrawal_id=3, sender=None), quote),
        Priced(ROW._replace(withdrawal_id=5), quote),
    ]
    ready = ready_payments(priced, frozenset({1, 2, 3, 4}))
    assert [payment.row.withdrawal_id for payment in ready] == [1, 4]


@pytest.mark.parametrize(
    ("reason", "hopeless"),
    [("sender_lacks_funds", False), ("fee_above_cap", False), ("recipient_reverts", True)],
)
def test_only_what_can_never_be_paid_is_given_up(reason: str, *, hopeless: bool) -> None:
    assert Priced(ROW, refusal=PaymentRefused(reason, "")).is_hopeless is hopeless


def test_a_chain_ahead_of_us_means_that_somebody_else_signs() -> None:
    quotes = [Quote(1, nonce, b"", 10**6, 10**6) for nonce in (4, 6, 5)]
    payments = ready_payments([Priced(ROW, quote) for quote in quotes], frozenset({1}))
    chain = chain_nonces(payments)
    assert chain == {"0xhot": 6}
    assert find_foreign_use(chain, {"0xhot": NonceRow(6, None)}) == []
    assert find_foreign_use(chain, {"0xhot": NonceRow(5, None)}) == [ForeignUse("0xhot", 6, 5)]


def test_a_chain_without_nonces_has_no_counter_and_nobody_runs_ahead_of_it() -> None:
    quotes = [Quote(1, None, b"", 10**6, 10**6) for _ in range(2)]
    payments = ready_payments([Priced(ROW, quote) for quote in quotes], frozenset({1}))
    chain = chain_nonces(payments)
    assert chain == {"0xhot": None}
    assert find_foreign_use(chain, {"0xhot": NonceRow(None, None)}) == []


def test_larger_amounts_wait_for_more_confirmations() -> None:
    policy = POLICY._replace(confirmations=((1000, 30), (100, 12), (0, 3)))
    waits = [policy.confirmations_of(amount) for amount in (1, 99, 100, 999, 1000, 10**30)]
    assert waits == [3, 3, 12, 12, 30, 30]


def test_many_unpayable_orders_do_not_keep_others_from_being_tried_again() -> None:
    start = Round(after_id=0, due_at=0.0)
    full_page = list(range(1, BATCH_ROWS + 1))
    second = next_round(start, full_page, later=9.0)
    assert second == Round(after_id=BATCH_ROWS, due_at=0.0)
    assert next_round(second, [BATCH_ROWS + 1], later=9.0) == Round(after_id=0, due_at=9.0)
    assert next_round(second, [], later=9.0) == Round(after_id=0, due_at=9.0)


def test_a_field_that_is_there_twice_is_refused_whichever_would_count() -> None:
    command = json.dumps(COMMAND).encode()
    refusal = read_command(b'{"amount_minor": "999", ' + command[1:])
    assert isinstance(refusal, Refusal)
    assert (refusal.tenant, refusal.reason) == ("acme", "bad_field:amount_minor")
    assert "more than once" in refusal.detail


@pytest.mark.parametrize("first", ["acme", "other"])
def test_who_names_two_tenants_is_answered_to_neither(first: str) -> None:
    with pytest.raises(Unanswerable, match="one field `tenant`"):
        read_command(f'{{"tenant": "{first}", '.encode() + json.dumps(COMMAND).encode()[1:])


def test_what_is_no_command_says_where_and_repeats_nothing() -> None:
    with pytest.raises(Unanswerable, match="line 1 column") as raised:
        read_command(b'{"tenant": "acme", "memo": "hunter2"')
    assert "hunter2" not in str(raised.value)
