"""Whatever a node makes of a block's JSON: no transfer that was not there, no odd error."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_adapters.types import Block, NodeUnavailable, Transfer
from tests.support.json_places import Place, paths, place
from tests.support.tron_vectors import encode, identify, load, read_block, wrap

RECIPIENT = "41dcf2957055e8fcde477a077ecfeddf5ab2357547"


def mixed_block() -> dict[str, Any]:
    """A block of recorded transactions and infos of every kind."""
    history = load("mainnet_account_transactions_trx_trc10_usdt_with_info")
    infos = {info["id"]: info for info in history["gettransactioninfobyid"]}
    transactions = [
        t
        for t in history["accounts_TL24LCps5FKwp3PoU1MvrYrwhi5LU1tHre_transactions"]
        if t["txID"] in infos
    ]
    private = load("privatenet_javatron_4_8_2_block_and_receipts")
    receipts = [
        private["receipt_internal_trx_transfer"],
        *load("mainnet_txinfo_out_of_energy_and_success_usdt")[:2],
        load("mainnet_block_67325788_infos")[1],
    ]
    chosen = [infos[t["txID"]] for t in transactions]
    for position, receipt in enumerate(receipts):
        value = {"owner_address": RECIPIENT, "contract_address": receipt["contract_address"]}
        contract = {"parameter": {"value": value}, "type": "TriggerSmartContract"}
        ret = [{"contractRet": receipt["receipt"]["result"]}]
        call = identify({"ret": ret, "raw_data": {"contract": [contract]}}, f"call {position}")
        transactions.append(call)
        chosen.append({**receipt, "id": call["txID"]})
    block, placed = wrap(transactions, chosen)
    return {"block": block, "infos": placed}


RECORDED = {"block": load("block_1000000"), "infos": load("block_1000000_infos")}
ORIGINALS = [RECORDED, mixed_block()]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(["", "0x", "zz", "SUCCESS", "FAILED", "f" * 64, "0" * 64, "41" + "0" * 40]),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)


PLACES = [(which, path) for which, o in enumerate(ORIGINALS) for path in paths(o)]
WORD_KEYS = {"amount", "call_value", "callValue", "data", "topics"}
ADDRESS_KEYS = {
    *("owner_address", "to_address", "contract_address", "address"),
    *("caller_address", "transferTo_address"),
}
RESULT_KEYS = {"contractRet", "result", "rejected", "note", "tokenId", "callValueInfo"}
"""Other amounts, parties and outcomes in the right form make another, equally well-formed block:
nothing but the node says them."""


def transfers_of(block: Block) -> set[tuple[str, Transfer]]:
    return {(t.id, transfer) for t in block.transactions for transfer in t.transfers}


EXPECTED = [transfers_of(read_block(o["block"], o["infos"])) for o in ORIGINALS]


def reads_nothing_new(which: int, answers: dict[str, Any]) -> None:
    try:
        block = read_block(answers["block"], answers["infos"])
    except (NodeUnavailable, msgspec.MsgspecError, ValueError):
        return
    assert transfers_of(block) <= EXPECTED[which]


def makes_another_block(path: Place, odd: object) -> bool:
    """Whether the odd value is as good as the original one."""
    keys = set(path)
    if keys & WORD_KEYS:
        return (isinstance(odd, int) and odd > 0) or (isinstance(odd, str) and len(odd) == 64)
    if keys & ADDRESS_KEYS:
        return isinstance(odd, str) and len(odd) in {40, 42}
    return bool(keys & RESULT_KEYS)


@settings(max_examples=400, deadline=None)
@given(where=st.sampled_from(PLACES), odd=ODD)
def test_an_odd_value_anywhere_adds_no_transfer(where: tuple[int, Place], odd: object) -> None:
    which, path = where
    answers = copy.deepcopy(ORIGINALS[which])
    place(answers, path[:-1])[path[-1]] = odd
    if not makes_another_block(path, odd):
        reads_nothing_new(which, answers)
        return
    try:
        read_block(answers["block"], answers["infos"])
    except (NodeUnavailable, msgspec.MsgspecError, ValueError):
        return


@settings(max_examples=300, deadline=None)
@given(where=st.sampled_from(PLACES))
def test_a_part_left_out_adds_no_transfer(where: tuple[int, Place]) -> None:
    which, path = where
    if set(path) & (RESULT_KEYS | {"log", "internal_transactions"}):
        return
    answers = copy.deepcopy(ORIGINALS[which])
    del place(answers, path[:-1])[path[-1]]
    answers.setdefault("infos", [])
    answers.setdefault("block", {})
    reads_nothing_new(which, answers)


@settings(max_examples=200, deadline=None)
@given(where=st.sampled_from(PLACES))
def test_a_log_or_inner_call_left_out_pays_nobody_else(
    where: tuple[int, Place],
) -> None:
    which, path = where
    if "log" not in path and "internal_transactions" not in path:
        return
    answers = copy.deepcopy(ORIGINALS[which])
    del place(answers, path[:-1])[path[-1]]
    try:
        block = read_block(answers["block"], answers["infos"])
    except (NodeUnavailable, msgspec.MsgspecError, ValueError):
        return
    recipients = {(id_, t.address) for id_, t in transfers_of(block)}
    assert recipients <= {(id_, t.address) for id_, t in EXPECTED[which]}


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_infos_in_any_order_make_the_same_block_and_others_none(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(ORIGINALS) - 1))
    block, infos = ORIGINALS[which]["block"], ORIGINALS[which]["infos"]
    chosen = data.draw(st.lists(st.sampled_from(range(len(infos))), max_size=len(infos)))
    picked = [infos[position] for position in chosen]
    if sorted(chosen) == list(range(len(infos))):
        assert transfers_of(read_block(block, picked)) == EXPECTED[which]
        return
    try:
        read_block(block, picked)
    except NodeUnavailable:
        return
    raise AssertionError("a block was read from receipts that are not its own")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_one_odd_transaction_never_makes_a_block_unreadable(data: st.DataObject) -> None:
    """Its type is unknown and its content anything; all others are read as before."""
    original = ORIGINALS[1]
    value = data.draw(
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(
                    st.sampled_from(["owner_address", "amount", "to_address", "data", "x"]),
                    inner,
                    max_size=3,
                ),
            ),
            max_leaves=8,
        )
    )
    kind = data.draw(st.sampled_from(["", "NewContract", "TransferAssetContract", "Vote"]))
    contract = {"type": kind, "parameter": {"value": value}}
    odd = identify({"ret": [{"contractRet": "SUCCESS"}], "raw_data": {"contract": [contract]}}, "o")
    info = {**original["infos"][0], "id": odd["txID"], "receipt": {}, "log": []}
    block = {**original["block"], "transactions": [*original["block"]["transactions"], odd]}
    read = read_block(block, [*original["infos"], info])
    assert transfers_of(read) == EXPECTED[1]
    assert len(read.transactions) == len(original["infos"]) + 1


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_truncated_answer_makes_no_block(data: st.DataObject) -> None:
    raw = encode(RECORDED["block"])
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    try:
        read_block(msgspec.Raw(cut), RECORDED["infos"])
    except (NodeUnavailable, msgspec.MsgspecError):
        return
    raise AssertionError("a block was read from a truncated answer")


def test_the_unharmed_blocks_have_transfers_of_every_kind() -> None:
    kinds = {transfer.index.partition(":")[0] for found in EXPECTED for _, transfer in found}
    assert kinds == {"value", "call", "log"}
