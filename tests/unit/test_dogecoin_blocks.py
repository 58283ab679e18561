"""Recorded Dogecoin blocks are read exactly from bytes, headers longer than 80 bytes included."""

from __future__ import annotations

from decimal import Decimal

import pytest

from chain_adapters.bitcoin.chains import MAINNET as BITCOIN
from chain_adapters.dogecoin.chains import MAINNET, TESTNET
from chain_adapters.types import NodeUnavailable
from chain_adapters.utxo import raw
from chain_adapters.utxo.chain import UtxoChain
from tests.support.utxo_vectors import (
    load,
    load_text,
    raw_id,
    read_json_transaction,
    read_raw,
)

BLOCKS = [
    ("block_1_raw.hex", MAINNET, "82bc6803", 1, 0),
    ("block_12345_raw.hex", MAINNET, "7f61a9fa", 31, 60),
    ("block_250000_raw.hex", MAINNET, "0e4bcfe8", 6, 122),
    ("block_371337_raw.hex", MAINNET, "60323982", 6, 8),
    ("block_567890_raw.hex", MAINNET, "333d89ad", 9, 15),
    ("block_748634_raw.hex", MAINNET, "bd98a063", 8, 12),
    ("testnet_block_99999_raw.hex", TESTNET, "3928d1f9", 3, 6),
    ("testnet_block_158100_raw.hex", TESTNET, "a8708cdb", 1, 1),
    ("testnet_block_1234580_raw.hex", TESTNET, "8ab6a176", 3, 4),
]
MERGE_MINED = ["block_371337_raw.hex", "block_567890_raw.hex", "block_748634_raw.hex"]


def content_of(name: str) -> bytes:
    return bytes.fromhex(load_text(f"dogecoin/{name}"))


@pytest.mark.parametrize(("name", "chain", "id_start", "transactions", "paid"), BLOCKS)
def test_blocks_are_read_exactly(
    name: str, chain: UtxoChain, id_start: str, transactions: int, paid: int
) -> None:
    block = read_raw(chain, content_of(name))
    assert block.block_id.startswith(id_start)
    assert len(block.transactions) == transactions
    found = [t for transaction in block.transactions for t in transaction.transfers]
    assert len(found) == paid
    assert {t.address[0] for t in found} <= ({"D", "9", "A"} if chain is MAINNET else {"n", "2"})


@pytest.mark.parametrize("name", MERGE_MINED)
def test_an_auxpow_header_is_passed_over(name: str) -> None:
    content = content_of(name)
    assert int.from_bytes(content[:4], "little") & 0x100
    assert read_raw(MAINNET, content).transactions
    with pytest.raises(NodeUnavailable):
        read_raw(BITCOIN, content)


def test_the_first_merge_mined_block_links_to_the_one_before() -> None:
    block = read_raw(MAINNET, content_of("block_371337_raw.hex"))
    assert block.parent_id == "46a8b109fb016fa41abd17a19186ca78d39c60c020c71fcd2690320d47036f0d"
    assert block.time == 1_410_464_577


def test_the_same_bit_means_nothing_on_bitcoin() -> None:
    content = content_of("block_12345_raw.hex")
    marked = bytes((content[0], 1)) + content[2:]
    assert raw.read_block(marked, raw_id(marked), 1, merge_mined=False).transactions
    with pytest.raises(NodeUnavailable):
        raw.read_block(marked, raw_id(marked), 1, merge_mined=True)


@pytest.mark.parametrize("name", MERGE_MINED)
def test_an_auxpow_that_is_cut_makes_no_block(name: str) -> None:
    content = content_of(name)
    for cut in range(80, 700, 23):
        with pytest.raises(NodeUnavailable):
            read_raw(MAINNET, content[:cut])


def test_what_is_mined_waits_for_240_blocks() -> None:
    block = read_raw(TESTNET, content_of("testnet_block_158100_raw.hex"))
    assert [t.depth_min for t in block.transactions[0].transfers] == [240]


def test_a_transactions_bytes_are_read_as_others_read_them() -> None:
    for told in load("dogecoin/block_2000002_addresses.json")["txDetails"].values():
        content = bytes.fromhex(told["hex"])
        transaction, end = raw.read_transaction(content, 0)
        assert (transaction.id, end) == (told["txid"], len(content))
        for output, expected in zip(transaction.outputs, told["vout"], strict=True):
            assert output is not None
            assert output.script.hex() == expected["scriptPubKey"]["hex"]
            assert output.amount_minor == int(Decimal(expected["value"]) * 10**8)


def test_json_of_a_1_14_node_is_read() -> None:
    answers = load("dogecoin/block_2_answers.json")
    (told,) = [value for key, value in answers.items() if key.startswith("getrawtransaction")]
    told["vout"][0]["value"] = 729752
    transaction = read_json_transaction(MAINNET, told)
    assert (transaction.id, transaction.transfers) == (told["txid"], ())
