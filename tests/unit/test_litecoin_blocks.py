"""What Litecoin's extension block (MWEB) leaves in blocks: the bytes of the transaction that pays
out of it, and when that money can be spent."""

from __future__ import annotations

import json

import msgspec
import pytest

from chain_adapters.bitcoin import chains as bitcoin
from chain_adapters.litecoin.chains import MAINNET
from chain_adapters.rpc import Reply
from chain_adapters.types import NodeUnavailable
from chain_adapters.utxo.decode import normalise_transactions
from chain_adapters.utxo.plain import PlainTransaction
from chain_adapters.utxo.reading import read_raw_transaction
from tests.support.utxo_vectors import load

RECORDED = load("litecoin/hogex.json")
HOLDING, PAYING, SCRIPT_PAYING = RECORDED


def given(content: str) -> Reply:
    """A node's answer to getrawtransaction."""
    return Reply(1, result=msgspec.Raw(json.dumps(content).encode()))


def read(recorded: dict[str, str]) -> PlainTransaction:
    return read_raw_transaction(given(recorded["hex"]), recorded["txid"])


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda r: r["height"])
def test_the_transaction_that_pays_out_of_the_extension_block_is_read_from_its_bytes(
    recorded: dict[str, str],
) -> None:
    assert read(recorded).id == recorded["txid"]


def test_what_the_extension_block_holds_is_spent_by_the_next_block() -> None:
    assert read(SCRIPT_PAYING).spends[0] == (PAYING["txid"], 0)


def test_what_is_paid_out_of_the_extension_block_waits_for_6_blocks() -> None:
    (made,) = normalise_transactions(MAINNET, [read(SCRIPT_PAYING)])
    (transfer,) = made.transfers
    assert (transfer.index, transfer.amount_minor, transfer.depth_min) == ("out:1", 700_000_000, 6)
    assert transfer.address.startswith("M")


def test_a_chain_without_extension_block_makes_nobody_wait_for_one() -> None:
    (made,) = normalise_transactions(bitcoin.MAINNET, [read(PAYING)])
    assert [transfer.depth_min for transfer in made.transfers] == [1]


def test_an_extension_of_its_own_has_no_transaction_in_a_block() -> None:
    content = bytearray.fromhex(PAYING["hex"])
    content[-5] = 1
    with pytest.raises(NodeUnavailable, match="no block"):
        read_raw_transaction(given(content.hex()), PAYING["txid"])


def test_parts_of_an_unknown_kind_are_not_passed_over() -> None:
    content = bytearray.fromhex(PAYING["hex"])
    content[5] = 2
    with pytest.raises(NodeUnavailable, match="unknown kind"):
        read_raw_transaction(given(content.hex()), PAYING["txid"])
