"""Recorded answers of Horizon, and a whole ledger of the public network."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from chain_adapters.stellar import wire
from chain_adapters.stellar.amounts import to_minor
from chain_adapters.stellar.decode import credits_of, normalise_ledger
from chain_adapters.stellar.memo import memo_of
from chain_adapters.types import Block, NodeUnavailable
from tests.support.stellar_ledger import (
    REAL_HEIGHT,
    balance_changes,
    operation_results,
    real_ledger,
    traders,
)
from tests.support.stellar_vectors import encode_page, load, results


def read_real(parts: tuple[Any, ...] | None = None) -> Block:
    header, transactions, operations, effects = parts or real_ledger()
    return normalise_ledger(
        wire.decode_ledger(json.dumps(header).encode()),
        wire.decode_transactions(encode_page(transactions)).embedded.records,
        wire.decode_operations(encode_page(operations)).embedded.records,
        wire.decode_effects(encode_page(effects)).embedded.records,
    )


def test_a_whole_ledger_is_read_with_every_transaction_in_order() -> None:
    block = read_real()
    assert block.height == REAL_HEIGHT
    assert block.block_id == "2a56300b28dd50abf3776786a69de1d8ffe068355d8d2aee4643389f21d7b13a"
    inner = 3  # fee bumps are there twice
    assert len(block.transactions) == 163 + inner
    assert sum(not t.succeeded for t in block.transactions) == 62
    applied = [meta.result.transaction_hash.hash.hex() for _, meta, _ in results()]
    assert [t.id for t in block.transactions if t.id in applied] == applied


def test_a_whole_ledgers_fees_are_what_core_took() -> None:
    taken = sum(meta.result.result.fee_charged.int64 for _, meta, _ in results())
    assert sum(t.fee_minor or 0 for t in read_real().transactions) == taken > 0


def test_transfers_and_fees_explain_a_whole_ledgers_changes_of_balances() -> None:
    explained: defaultdict[tuple[str | None, str | None], int] = defaultdict(int)
    for transaction in read_real().transactions:
        explained[transaction.payer, None] -= transaction.fee_minor or 0
        for transfer in transaction.transfers:
            explained[transfer.sender, transfer.contract] -= transfer.amount_minor
            explained[transfer.address, transfer.contract] += transfer.amount_minor
    others = traders()
    changes = {w: n for w, n in balance_changes().items() if w[0] not in others}
    assert {whose: explained[whose] for whose in changes} == changes
    assert len(changes) > 50
    assert sum(contract is not None for _, contract in changes) >= 5


def test_every_path_payment_of_a_whole_ledger_credits_what_arrived() -> None:
    block = read_real()
    kinds: defaultdict[str | None, int] = defaultdict(int)
    for _, meta, _ in results():
        for result in operation_results(meta):
            kinds[None if result.tr is None else result.tr.type.name] += 1
    converted = [t for x in block.transactions for t in x.transfers if t.sender is None]
    claims, paths = 3, 8
    assert len(converted) == claims + paths
    assert kinds["PAYMENT"] == 9


def test_a_page_cut_short_makes_no_block() -> None:
    header, transactions, operations, effects = real_ledger()
    for parts in (
        (header, transactions[:-1], operations, effects),
        (header, transactions, operations[:-1], effects),
        (header, transactions, operations[1:], effects),
        (header, transactions, operations, effects[:-1]),
        (header, transactions, operations, effects[1:]),
        (header, transactions, operations, []),
        (header, [*transactions[:-1], transactions[0]], operations, effects),
    ):
        with pytest.raises(NodeUnavailable):
            read_real(parts)


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        (
            "horizon_ops_payment_family",
            "operations/payment",
            (
                "GC5LF63GRVIT5ZXXCXLPI3RX2YXKJQFZVBSAO6AUELN3YIMSWPD6Z6FH",
                "GAFK7XFZHMLSNV7OJTBO7BAIZA66X6QIBV5RMZZYXK4Q7ZSO52J5C3WQ",
                "USDC:GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN",
                390_000_000,
                None,
            ),
        ),
        (
            "horizon_ops_payment_family",
            "operations/create_account",
            (
                "GDYG6NVTFCY6HPBRQ3SQNKTDZUR7SS6WAWNEAKAFJW5EMKDGQLPG523C",
                "GCYXLFYRSJWRPQ7JYSPHDNFRNXQ377BNUHF3TDZCPCQMVJS2QKMXCT2E",
                None,
                40_000_000,
                None,
            ),
        ),
        (
            "horizon_ops_payment_family",
            "operations/path_payment_strict_send",
            (
                None,
                "GDBKRQWEUJGRWWCAGK75L4PZXM2S3DQQIG6S43Y2GMN3IUFZWCLSRA46",
                "BTC:GAUTUYY2THLF7SGITDFMXJVYH3LHDSMGEAKSBU267M2K7A3W543CKUEF",
                5045,
                None,
            ),
        ),
        (
            "horizon_ops_soroban",
            "operations/invoke_host_function",
            (
                "GDAT5HWTGIU4TSSZ4752OUC4SABDLTLZFRPZUJ3D6LKBNEPA7V2CIG54",
                "GBMLPRFCZDZJPKUPHUSHCKA737GOZL7ERZLGGMJ6YGHBFJZ6ZKMKCZTM",
                "Hello:GDJKBIYIPBE2NC5XIZX6GCFZHVWFUA7ONMQUOOVTLIM3BESTI4BYADAN",
                5_000_000_000,
                123456789,
            ),
        ),
    ],
)
def test_recorded_operations_credit_exactly(
    file: str, name: str, expected: tuple[object, ...]
) -> None:
    record = wire.decode_operations(encode_page([load(file)[name]])).embedded.records[0]
    assert [tuple(credit) for credit in credits_of(record, {})] == [expected]


def test_recorded_operations_that_move_nothing_credit_nobody() -> None:
    others = load("horizon_ops_other")
    others.pop("operations/inflation")  # its effects would say
    soroban = load("horizon_ops_soroban")
    soroban.pop("operations/invoke_host_function")
    family = load("horizon_ops_payment_family")
    records = [*others.values(), *soroban.values(), family["operations/create_claimable_balance"]]
    read = wire.decode_operations(encode_page(records)).embedded.records
    assert len(read) > 8
    assert [list(credits_of(record, {})) for record in read] == [[] for _ in read]


def test_recorded_merges_need_their_effects() -> None:
    merge = load("horizon_ops_payment_family")["operations/account_merge"]
    record = wire.decode_operations(encode_page([merge])).embedded.records[0]
    with pytest.raises(NodeUnavailable):
        credits_of(record, {})
    effects = load("horizon_effects_credit_debit")
    credited = effects["effects/account_credited"]  # of the same account, in another ledger
    effect = wire.decode_effects(encode_page([credited])).embedded.records[0]
    (credit,) = credits_of(record, {int(record.id): [effect]})
    assert credit.sender == "GBMZ7GUHNHT6TG4ITOBG46TKA5YMNH7ZKHHJSQRU6PNYBSAELLXNOFDE"
    assert credit.address == "GDYG6NVTFCY6HPBRQ3SQNKTDZUR7SS6WAWNEAKAFJW5EMKDGQLPG523C"
    assert credit.amount_minor == 39_999_700


def test_recorded_pages_of_payments_and_operations_are_read() -> None:
    for name in ("horizon_ledger_payments_page", "horizon_operations_page_genesis_2015"):
        page = wire.decode_operations(json.dumps(load(name)).encode())
        assert all(credits_of(r, {}) for r in page.embedded.records if r.type != "set_options")


def test_the_first_payment_of_the_network_is_read_exactly() -> None:
    page = load("horizon_operations_page_genesis_2015")
    record = wire.decode_operations(json.dumps(page).encode()).embedded.records[1]
    (credit,) = credits_of(record, {})
    assert credit.amount_minor == 999_999_999_599_999_700


def test_recorded_ledgers_and_roots_are_read() -> None:
    ledger = wire.decode_ledger(json.dumps(load("horizon_ledger_52425760")).encode())
    assert (ledger.sequence, ledger.operation_count) == (52425760, 553)
    assert int(ledger.closed_at.timestamp()) == 1720139604
    root = wire.decode_root(json.dumps(load("horizon_root")).encode())
    assert root.network_passphrase == "Public Global Stellar Network ; September 2015"
    accounts = [load("horizon_account"), load("horizon_tx_account_error_2025")[4]]
    read = [wire.decode_account(json.dumps(account).encode()) for account in accounts]
    assert [a.sequence for a in read] == ["160470889244710503", "338194314821647"]


def read_transaction(record: dict[str, Any]) -> wire.WireTransaction:
    page = encode_page([record])
    return wire.decode_transactions(page).embedded.records[0]


@pytest.mark.parametrize(
    ("name", "memo"),
    [
        ("horizon_transaction_failed", None),
        ("horizon_transaction_fee_bump_muxed_account", None),
        (
            "horizon_transaction_hash_memo",
            "hash:" + b"35281f58ff910cb15aad5636db2753e0".hex(),
        ),
    ],
)
def test_recorded_memos_are_read_exactly(name: str, memo: str | None) -> None:
    assert memo_of(read_transaction(load(name))) == memo


def test_recorded_text_memos_agree_with_their_envelopes() -> None:
    record = load("horizon_transaction_text_memo")
    assert memo_of(read_transaction(record)) == "text:" + record["memo"]
    submitted = load("horizon_submit_transaction_response")["value"]
    assert memo_of(read_transaction(submitted)) == "text:Test Transaction"


def test_a_recorded_fee_bump_is_paid_by_its_fee_account() -> None:
    record = read_transaction(load("horizon_transaction_fee_bump_muxed_account"))
    assert record.fee_account == "GCUCLPMVO4Q4M32VCPDPQBYCRCTZDA4RYGXZCL7ZA3TOUFPM6ROQRDMI"
    assert record.inner_transaction is not None
    assert record.inner_transaction.hash.startswith("00c0353e0494d4cb")
    assert record.source_account == "GA5ZPIVPAXEG5LMHTKF4PJZ52K5YFUUBSHL746TINKJ7GNMG4KYF3S4R"


@pytest.mark.parametrize(
    "text", ["", ".", "1.", "-1.0", "+1", "1e5", "1.00000001", "٣.0", "1,0", " 1", "0x1", "1.-1"]
)
def test_what_is_no_amount_is_none(text: str) -> None:
    with pytest.raises(NodeUnavailable):
        to_minor(text)


def test_amounts_are_exact_to_the_stroop() -> None:
    assert to_minor("922337203685.4775807") == 2**63 - 1
    assert (to_minor("0.0000001"), to_minor("5"), to_minor("5.0")) == (1, 5 * 10**7, 5 * 10**7)
