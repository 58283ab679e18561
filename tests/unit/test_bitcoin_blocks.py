"""Recorded Bitcoin blocks are read exactly, from JSON of every age and from bytes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from chain_adapters.bitcoin.chains import MAINNET, REGTEST, TESTNET4
from chain_adapters.types import Block, NodeUnavailable
from chain_adapters.utxo import raw
from chain_adapters.utxo.decode import fill_spent, lacking, normalise_block
from chain_adapters.utxo.plain import merkle_root, plain_block
from chain_adapters.utxo.wire import decode_block, minor_of
from tests.support.utxo_vectors import (
    encode,
    load,
    load_exactly,
    load_text,
    raw_id,
    read_json,
    read_json_transaction,
    read_plain,
    read_raw,
)

BLOCK_200000 = "bitcoin/block_200000_verbosity_3.json.gz"
BLOCK_951658 = "bitcoin/block_951658_raw_and_ids.json.gz"
BLOCK_333961 = "bitcoin/block_333961_raw.hex.gz"


def block_200000() -> Block:
    return read_json(MAINNET, load_text(BLOCK_200000).encode())


def node_address(script: dict[str, Any]) -> str | None:
    """What the node calls a script, in the fields of its age; bare keys have no address."""
    if script["type"] in {"pubkey", "nulldata", "nonstandard", "multisig"}:
        return None
    named: str | None = script.get("address") or (script.get("addresses") or [None])[0]
    return named


def expected_transfers(outputs: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """What the node's own words say of the outputs."""
    found = []
    for output in outputs:
        address = node_address(output["scriptPubKey"])
        amount_minor = int(Decimal(str(output["value"])) * 10**8)
        if address is not None and amount_minor:
            found.append((f"out:{output['n']}", address, amount_minor))
    return found


def test_a_block_with_prevouts_is_read_exactly() -> None:
    block, recorded = block_200000(), load(BLOCK_200000)
    assert (block.height, block.block_id) == (200_000, recorded["hash"])
    assert (block.parent_id, block.time) == (recorded["previousblockhash"], recorded["time"])
    assert [t.id for t in block.transactions] == [t["txid"] for t in recorded["tx"]]
    for transaction, told in zip(block.transactions, recorded["tx"], strict=True):
        read = [(t.index, t.address, t.amount_minor) for t in transaction.transfers]
        assert read == expected_transfers(told["vout"])


def test_what_is_mined_is_the_subsidy_and_all_fees() -> None:
    coinbase, *others = block_200000().transactions
    told = load(BLOCK_200000)["tx"][0]["vout"]
    mined = sum(int(Decimal(str(output["value"])) * 10**8) for output in told)
    assert mined == 50 * 10**8 + sum(t.fee_minor or 0 for t in others)
    assert (coinbase.payer, coinbase.fee_minor) == (None, 0)


def test_what_is_mined_waits_for_100_blocks() -> None:
    block = read_raw(MAINNET, bytes.fromhex(load(BLOCK_951658)["block"]))
    coinbase, *others = block.transactions
    assert {t.depth_min for t in coinbase.transfers} == {100}
    assert {t.depth_min for other in others for t in other.transfers} == {1}


def test_the_sender_is_the_only_address_that_is_spent_from() -> None:
    recorded = load(BLOCK_200000)["tx"]
    several = 0
    for transaction, told in zip(block_200000().transactions[1:], recorded[1:], strict=True):
        names = {node_address(given["prevout"]["scriptPubKey"]) for given in told["vin"]}
        sender = names.pop() if len(names) == 1 else None
        several += sender is None
        assert transaction.payer == sender
        assert {t.sender for t in transaction.transfers} <= {sender}
    assert several > 50


def test_without_prevouts_a_block_says_the_same_but_for_senders_and_fees() -> None:
    answer = load_exactly(BLOCK_200000)
    for transaction in answer["tx"]:
        for given in transaction["vin"]:
            given.pop("prevout", None)
    block = read_json(MAINNET, encode(answer))
    for bare, full in zip(block.transactions, block_200000().transactions, strict=True):
        assert [(t.index, t.address, t.amount_minor) for t in bare.transfers] == [
            (t.index, t.address, t.amount_minor) for t in full.transfers
        ]
    assert {t.payer for t in block.transactions} == {None}
    assert {t.fee_minor for t in block.transactions[1:]} == {None}


def test_a_fee_that_the_node_tells_is_taken_where_prevouts_are_not_told() -> None:
    answer = load_exactly(BLOCK_200000)
    fees = [t.fee_minor for t in block_200000().transactions]
    for transaction, fee_minor in zip(answer["tx"], fees, strict=True):
        for given in transaction["vin"]:
            given.pop("prevout", None)
        transaction["fee"] = (fee_minor or 0) / 10**8
    assert [t.fee_minor for t in read_json(MAINNET, encode(answer)).transactions] == fees


def test_a_raw_block_has_the_ids_that_the_node_lists() -> None:
    recorded = load(BLOCK_951658)
    content = bytes.fromhex(recorded["block"])
    block = read_raw(MAINNET, content, recorded["height"])
    assert (block.block_id, block.parent_id) == (recorded["hash"], recorded["previousblockhash"])
    assert block.time == recorded["time"]
    assert [t.id for t in block.transactions] == recorded["tx"]
    kinds = {t.address[:4] for each in block.transactions for t in each.transfers}
    assert {"bc1q", "bc1p"} <= kinds
    assert any(kind[0] == "1" for kind in kinds)
    assert any(kind[0] == "3" for kind in kinds)


def test_two_outputs_to_one_address_are_two_transfers() -> None:
    block = read_raw(MAINNET, bytes.fromhex(load(BLOCK_951658)["block"]))
    id_ = "30a6b16d1ba7e17bd8e8d3cc7778c46e3de377c58e040a15962a3b59cc6d40ed"
    (transaction,) = [t for t in block.transactions if t.id == id_]
    addresses = [t.address for t in transaction.transfers]
    assert len(set(addresses)) < len(addresses) == len({t.index for t in transaction.transfers})


def test_bytes_and_json_of_a_block_say_the_same() -> None:
    content = bytes.fromhex(load_text(BLOCK_333961))
    block = read_raw(MAINNET, content, 333_961)
    assert raw_id(content) == "00000000000000001203c1ea455e38612bdf36e9967fdead11935c8e22283ecc"
    assert len(block.transactions) == 202
    assert sum(len(t.transfers) for t in block.transactions) == 482


def test_what_is_spent_within_a_block_is_known_from_the_block_itself() -> None:
    content = bytes.fromhex(load(BLOCK_951658)["block"])
    plain = read_plain(MAINNET, content)
    own = {t.id for t in plain.transactions}
    inside = [t.id for t in plain.transactions if t.spends and {i for i, _ in t.spends} <= own]
    assert inside
    assert not own & set(lacking(plain))
    fill_spent(plain, {})
    read = {t.id: t for t in normalise_block(MAINNET, plain).transactions}
    assert all((read[id_].fee_minor or 0) > 0 for id_ in inside)


@pytest.mark.parametrize(
    "name", ["bitcoin/block_696402_trimmed.json", "bitcoin/block_696402_old_schema_trimmed.json"]
)
def test_fields_of_old_and_new_nodes_are_read_alike(name: str) -> None:
    for told in load_exactly(name)["tx"]:
        transaction = read_json_transaction(MAINNET, told)
        read = [(t.index, t.address, t.amount_minor) for t in transaction.transfers]
        assert read == expected_transfers(told["vout"])


PREFIXES = {
    "witness_v1_taproot": "bc1p",
    "witness_v0_keyhash": "bc1q",
    "witness_v0_scripthash": "bc1q",
    "scripthash": "3",
    "pubkeyhash": "1",
}


@pytest.mark.parametrize(
    "name", ["transactions_p2tr_p2wpkh_p2sh", "transactions_op_return_and_many_inputs"]
)
def test_each_kind_of_script_has_the_address_of_its_kind(name: str) -> None:
    for told in load_exactly(f"bitcoin/{name}.json").values():
        found = {t.index: t.address for t in read_json_transaction(MAINNET, told).transfers}
        for output in told["vout"]:
            address = found.get(f"out:{output['n']}", "nobody's")
            prefix = PREFIXES.get(output["scriptPubKey"]["type"], "nobody's")
            assert address.startswith(prefix)


@pytest.mark.parametrize(
    ("chain", "name"),
    [
        (MAINNET, "bitcoin/block_529150_addresses.json"),
        (TESTNET4, "bitcoin/testnet4_block_41500_addresses.json"),
    ],
    ids=["mainnet", "testnet4"],
)
def test_a_transactions_bytes_are_read_as_others_read_them(chain: Any, name: str) -> None:  # noqa: ANN401
    for told in load(name)["txDetails"].values():
        content = bytes.fromhex(told["hex"])
        transaction, end = raw.read_transaction(content, 0)
        assert (transaction.id, end) == (told["txid"], len(content))
        for output, expected in zip(transaction.outputs, told["vout"], strict=True):
            assert output is not None
            assert output.script.hex() == expected["scriptPubKey"]["hex"]
            assert output.amount_minor == int(Decimal(expected["value"]) * 10**8)


def test_btcds_json_of_a_block_says_what_its_bytes_say() -> None:
    """It names the transactions otherwise, and does not tell what they spend."""
    recorded = load_exactly("bitcoin/btcd_block_202.json")
    from_json = read_json(REGTEST, encode(recorded["getblock 2"]))
    assert from_json == read_raw(REGTEST, bytes.fromhex(recorded["getblock 0"]), 202)
    assert [t.amount_minor for t in from_json.transactions[1].transfers] == [10**7, 489_998_590]


def test_early_blocks_with_bare_keys_are_read_and_are_nobodys() -> None:
    answers = load_exactly("bitcoin/blocks_0_1_50000.json")
    blocks = {key: value for key, value in answers.items() if key.startswith("getblock_")}
    for told in blocks.values():
        block = read_json(MAINNET, encode(told))
        assert block.block_id == told["hash"]
        assert block.transactions[0].transfers == ()
    genesis = read_json(MAINNET, encode(next(iter(blocks.values()))))
    assert (genesis.height, genesis.parent_id) == (0, "0" * 64)


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("0.00000001", 1),
        ("1e-8", 1),
        ("1E-05", 1000),
        ("20999999.97690000", 2_099_999_997_690_000),
        ("0.1", 10_000_000),
        ("0.29", 29_000_000),
        ("0", 0),
        ("150000000000.00000001", 15 * 10**18 + 1),
    ],
)
def test_amounts_are_read_to_the_last_digit(text: str, minor: int) -> None:
    assert minor_of(msgspec.json.decode(text.encode(), type=Decimal)) == minor


@pytest.mark.parametrize("text", ["-0.1", "0.000000001", "1e400", '"NaN"', '"Infinity"', "1e13"])
def test_amounts_that_cannot_be_are_no_amounts(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        minor_of(msgspec.json.decode(text.encode(), type=Decimal))


def test_parts_below_the_minor_unit_are_not_rounded_away() -> None:
    with pytest.raises(ValueError, match="minor unit"):
        minor_of(Decimal("0.00000001" + "0" * 30 + "1"))


def changed(**changes: object) -> bytes:
    return encode({**load_exactly(BLOCK_200000), **changes})


def test_a_transaction_left_out_repeated_or_moved_makes_no_block() -> None:
    told = load_exactly(BLOCK_200000)["tx"]
    for wrong in (told[:-1], [*told, told[-1]], [told[1], told[0], *told[2:]], []):
        with pytest.raises(NodeUnavailable):
            read_json(MAINNET, changed(tx=wrong))


def test_ids_repeated_under_the_same_root_make_no_block() -> None:
    told = load_exactly(BLOCK_200000)["tx"]
    three = told[:3]
    answer = {**load_exactly(BLOCK_200000), "tx": three}
    root = merkle_root([transaction["txid"] for transaction in three])
    with pytest.raises(NodeUnavailable):
        read_json(MAINNET, encode({**answer, "tx": [*three, three[-1]], "merkleroot": root}))
    assert read_json(MAINNET, encode({**answer, "merkleroot": root})).transactions


@pytest.mark.parametrize("cut", [0, 79, 80, 81, 1000, -1])
def test_truncated_bytes_make_no_block(cut: int) -> None:
    content = bytes.fromhex(load(BLOCK_951658)["block"])
    with pytest.raises(NodeUnavailable):
        raw.read_block(content[:cut], raw_id(content), 1, merge_mined=False)
    with pytest.raises(NodeUnavailable):
        raw.read_block(content + b"\0", raw_id(content), 1, merge_mined=False)


@pytest.mark.parametrize("length", [2**16 - 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_no_length_reaches_behind_the_bytes(length: int) -> None:
    size = b"\xff" + length.to_bytes(8, "little")
    spent = bytes(32) + b"\xff" * 4
    one_input = b"\1\0\0\0\1" + spent + b"\0" + b"\xff" * 4
    for content in (
        b"\1\0\0\0" + size,
        b"\1\0\0\0\2" + spent + size + bytes(60),
        one_input + size + bytes(60),
        one_input + b"\2" + bytes(8) + size + bytes(60),
        one_input + b"\1" + bytes(8) + size + bytes(60),
    ):
        with pytest.raises(IndexError):
            raw.read_transaction(content, 0)


def test_every_cut_of_a_transaction_is_noticed() -> None:
    told = next(iter(load("bitcoin/block_529150_addresses.json")["txDetails"].values()))
    content = bytes.fromhex(told["hex"])
    for cut in range(len(content)):
        with pytest.raises(IndexError):
            raw.read_transaction(content[:cut], 0)


def test_a_plain_block_keeps_what_the_node_says_of_itself() -> None:
    plain = plain_block(decode_block(load_text(BLOCK_200000).encode()))
    assert (plain.height, len(plain.transactions)) == (200_000, 388)
