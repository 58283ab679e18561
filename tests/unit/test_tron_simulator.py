"""The simulated node keeps TRON's rules, so that what passes on it means something."""

from __future__ import annotations

import coincurve
import pytest

from devstack.chains.tron_chain import BANK, BANK_KEY, EXPIRATION_MS_MAX, Chain, Refused
from devstack.chains.tron_protobuf import (
    Malformed,
    read_message,
    read_transaction,
    sign_contract,
    write_message,
)
from devstack.chains.tron_state import Invalid
from tests.support.tron_vectors import load

RECIPIENT = "41" + "7" * 40


@pytest.fixture
def chain() -> Chain:
    made = Chain()
    made.mine(1_790_000_000_000)
    made.put(10**9, "trx", BANK)
    return made


def sign(
    chain: Chain,
    key: coincurve.PrivateKey = BANK_KEY,
    expires_in_ms: int = 60_000,
    **changes: int | str,
) -> bytes:
    content: dict[str, int | str] = {
        "owner_address": BANK,
        "to_address": RECIPIENT,
        "amount": 5,
        **changes,
    }
    return sign_contract(
        "TransferContract",
        content,
        key,
        ref_block_id=chain.blocks[0]["blockID"],
        expiration_ms=chain.head_ms + expires_in_ms,
        timestamp_ms=1,
    )


def refusal_of(chain: Chain, whole: bytes) -> str:
    with pytest.raises(Invalid) as refused:
        chain.send(whole)
    return refused.value.code


def test_recorded_transactions_are_taken_apart_as_the_node_showed_them() -> None:
    recorded = [
        *load("signed_transactions_various_contracts")[:2],
        *load("signed_transactions_various_contracts")[5:7],
        load("triggersmartcontract_unsigned")["transaction"],
    ]
    for transaction in recorded:
        whole = write_message([(1, bytes.fromhex(transaction["raw_data_hex"]))])
        read = read_transaction(whole).as_json()
        assert read["txID"] == transaction["txID"]
        if not transaction.get("visible"):
            assert read["raw_data"] == transaction["raw_data"]


def test_a_transaction_of_the_owner_is_taken_once(chain: Chain) -> None:
    whole = sign(chain)
    chain.send(whole)
    assert refusal_of(chain, whole) == "DUP_TRANSACTION_ERROR"
    chain.mine(0)
    assert refusal_of(chain, whole) == "DUP_TRANSACTION_ERROR"
    assert chain.state.amount("trx", RECIPIENT) == 5


def test_what_breaks_a_rule_is_refused_by_name(chain: Chain) -> None:
    stranger = coincurve.PrivateKey()
    foreign = sign_contract(
        "TransferContract",
        {"owner_address": BANK, "to_address": RECIPIENT, "amount": 5},
        BANK_KEY,
        ref_block_id="00" * 7 + "01" + "ff" * 24,
        expiration_ms=chain.head_ms + 60_000,
        timestamp_ms=1,
    )
    assert [
        refusal_of(chain, whole)
        for whole in (
            sign(chain, stranger),
            foreign,
            sign(chain, expires_in_ms=0),
            sign(chain, expires_in_ms=EXPIRATION_MS_MAX + 1),
            sign(chain, amount=10**9),
            sign(chain, to_address=BANK),
            sign(chain, to_address="42" + "7" * 40),
            b"\xff",
        )
    ] == [
        "SIGERROR",
        "TAPOS_ERROR",
        "TRANSACTION_EXPIRATION_ERROR",
        "TRANSACTION_EXPIRATION_ERROR",
        "CONTRACT_VALIDATE_ERROR",
        "CONTRACT_VALIDATE_ERROR",
        "CONTRACT_VALIDATE_ERROR",
        "OTHER_ERROR",
    ]


def test_a_refused_transaction_leaves_no_trace(chain: Chain) -> None:
    refusal_of(chain, sign(chain, amount=10**9))
    assert chain.state.amount("trx", BANK) == 10**9
    assert chain.state.get("account", RECIPIENT) is None


def test_a_dropped_block_takes_its_money_back(chain: Chain) -> None:
    chain.send(sign(chain))
    chain.mine(0)
    lost = chain.blocks[-1]["blockID"]
    chain.solid_depth = 1
    chain.reorganise(1)
    assert chain.blocks[-1]["blockID"] != lost
    assert chain.state.amount("trx", RECIPIENT) == 0
    assert chain.state.amount("trx", BANK) == 10**9
    with pytest.raises(Refused):
        chain.reorganise(2)


def test_cut_messages_are_malformed() -> None:
    whole = write_message([(1, b"abc"), (2, 300)])
    assert read_message(whole) == {1: [b"abc"], 2: [300]}
    for length in (1, 2, 4, 6, 7):
        with pytest.raises(Malformed):
            read_message(whole[:length])
