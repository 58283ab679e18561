"""What looks like a deposit on TRON and is none, or is an odd one. Also listed for people to read
in docs/odd_deposits/tron.md, which is made from the same table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain_adapters.types import NodeUnavailable, Transaction
from tests.support.tron_odd_deposits import (
    AMOUNT,
    CALL_DATA,
    CASES,
    EVENT,
    OTHER,
    PLAIN,
    RECIPIENT,
    SENDER,
    TOKEN,
    WAIT,
    Case,
    called,
    inner,
    log,
    ran,
    trx,
    word,
)
from tests.support.tron_vectors import identify, read_block, wrap

LISTING = Path(__file__).parents[2] / "docs" / "odd_deposits" / "tron.md"


def read(case: Case) -> Transaction:
    transaction = {**identify(case.transaction, case.name), **case.transaction}
    block, [info] = wrap([transaction], [{"id": transaction["txID"], **case.info}])
    changed = {key: case.info[key] for key in ("blockTimeStamp",) if key in case.info}
    [found] = read_block(block, [{**info, **changed}]).transactions
    return found


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_read_is_what_the_table_says(case: Case) -> None:
    if case.expected is WAIT:
        with pytest.raises(NodeUnavailable):
            read(case)
        return
    found = [(t.index, t.contract or "TRX", t.amount_minor) for t in read(case).transfers]
    assert found == case.expected
    assert {t.address for t in read(case).transfers} <= {RECIPIENT}


@pytest.mark.parametrize("case", [c for c in CASES if c.expected is not WAIT], ids=lambda c: c.name)
def test_the_fee_is_paid_whatever_became_of_the_transaction(case: Case) -> None:
    assert read(case).fee_minor == case.info.get("fee", 0)


def test_a_failure_is_told_as_one() -> None:
    failed = {"TRX failed", "TRX without result", "TRX, failed info", "reverted", "out of energy"}
    read_as_failed = {c.name for c in CASES if c.expected == [] and not read(c).succeeded}
    assert failed < read_as_failed


@pytest.mark.parametrize(
    ("info", "succeeded"),
    [
        (ran(), False),
        (ran(log=[log(topics=[])]), False),
        (ran(log=[log()]), True),
        (ran(log=[log(topics=[EVENT], data=word(SENDER) + word(RECIPIENT) + AMOUNT)]), True),
        (ran(log=[log(topics=[EVENT, word(SENDER), word(RECIPIENT)])]), True),
        (ran(internal_transactions=[inner()]), True),
    ],
    ids=[
        "no event",
        "another event",
        "a transfer",
        "a transfer with nothing indexed",
        "a transfer between addresses of 21 bytes",
        "TRX, as a contract of that function pays it",
    ],
)
def test_a_token_that_was_told_to_pay_and_moved_nothing_did_not_succeed(
    info: dict[str, Any], succeeded: bool
) -> None:
    assert read(Case("", "", called(), info, [])).succeeded is succeeded


def test_a_call_of_another_function_needs_no_transfer_to_succeed() -> None:
    approval = called(data="095ea7b3" + CALL_DATA[8:])
    assert read(Case("", "", approval, ran(), [])).succeeded


def test_the_payer_is_the_owner_of_any_kind_of_contract() -> None:
    payers = {case.name: read(case).payer for case in CASES if case.expected is not WAIT}
    unknown = {name for name, payer in payers.items() if payer is None}
    assert unknown == {"type of the future", "odd content", "two contracts", "no contract"}
    assert set(payers.values()) == {SENDER, None}


def test_a_missing_receipt_means_wait() -> None:
    transaction = identify(trx(), "a")
    block, _ = wrap([transaction], [])
    with pytest.raises(NodeUnavailable, match="not all there"):
        read_block(block, [])


def test_a_transaction_twice_means_wait() -> None:
    transaction = identify(trx(), "a")
    block, infos = wrap(2 * [transaction], 2 * [{**PLAIN, "id": transaction["txID"]}])
    with pytest.raises(NodeUnavailable, match="not all there"):
        read_block(block, infos)


@pytest.mark.parametrize("field", ["blockNumber", "blockTimeStamp"])
def test_a_receipt_of_another_block_means_wait(field: str) -> None:
    transaction = identify(trx(), "a")
    block, [info] = wrap([transaction], [{**PLAIN, "id": transaction["txID"]}])
    with pytest.raises(NodeUnavailable, match="another block"):
        read_block(block, [info | {field: info[field] + 1}])


def test_a_receipt_too_many_means_wait() -> None:
    transaction = identify(trx(), "a")
    block, infos = wrap([transaction], 2 * [{**PLAIN, "id": transaction["txID"]}])
    with pytest.raises(NodeUnavailable, match="not all there"):
        read_block(block, infos)


@pytest.mark.parametrize("field", ["timestamp", "parentHash", "number", "txTrieRoot"])
def test_a_header_that_is_not_the_blocks_own_means_wait(field: str) -> None:
    block, infos = wrap([], [])
    header = block["block_header"]["raw_data"]
    header[field] = header[field] + 1 if isinstance(header[field], int) else "6" * 64
    with pytest.raises(NodeUnavailable, match="hash of its header"):
        read_block(block, infos)


def test_a_transfer_whose_amount_cannot_be_read_makes_no_block() -> None:
    transaction = identify(trx(amount="7"), "a")
    block, infos = wrap([transaction], [{**PLAIN, "id": transaction["txID"]}])
    with pytest.raises(msgspec.MsgspecError):
        read_block(block, infos)


def test_an_amount_with_blanks_between_its_digits_makes_no_block() -> None:
    blank = Case("blanks", "", called(), ran(log=[log(data="  " + AMOUNT[2:])]), [])
    with pytest.raises(ValueError, match="hexadecimal"):
        read(blank)


def describe(case: Case) -> str:
    if case.expected is WAIT:
        return "block asked for again"
    names = {TOKEN: "token", OTHER: "other token"}
    found = [f"{amount} {names.get(asset, asset)} ({i})" for i, asset, amount in case.expected]
    return ", ".join(found) or "nothing"


def make_listing() -> str:
    """Return docs/odd_deposits/tron.md."""
    rows = [f"| {case.name} | {case.what} | {describe(case)} |" for case in CASES]
    return (
        "# Odd deposits on TRON\n\n"
        "Each line is a crafted transaction that pays, or seems to pay, an address of ours, and"
        " what is read of it.\nMade from the table in tests/support/tron_odd_deposits.py;"
        " tests/unit/test_tron_fakes.py tests"
        " every line.\n\n"
        "| name | what | read as |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def test_the_listing_for_people_is_this_table() -> None:
    assert LISTING.read_text() == make_listing()
