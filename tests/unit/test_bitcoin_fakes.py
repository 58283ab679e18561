"""What looks like a deposit on Bitcoin and is none, or is an odd one. Also listed for people to
read in docs/odd_deposits/bitcoin.md, which is made from the table below."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from chain_adapters.bitcoin.chains import MAINNET
from chain_adapters.types import NodeUnavailable, Transaction
from chain_adapters.utxo.address import (
    address_of,
    hash_key,
    p2pkh_script,
    p2sh_script,
    witness_script,
)
from tests.support.utxo_vectors import json_block, read_json

KEY = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
HASH = hash_key(KEY)
OURS = witness_script(0, HASH)
OLD, NESTED = p2pkh_script(HASH), p2sh_script(hash_key(OURS))
TAPROOT, SCRIPT = witness_script(1, KEY[1:]), witness_script(0, sha256(OLD).digest())
THEIRS = witness_script(0, b"\7" * 20)
ID = "d" * 64
WAIT = None
"""Outcome: the block is not read; it is asked for again."""

LISTING = Path(__file__).parents[2] / "docs" / "odd_deposits" / "bitcoin.md"
NAMES = {
    address_of(MAINNET, script): name
    for script, name in {
        OURS: "our address",
        OLD: "the key's P2PKH address",
        NESTED: "the key's nested address",
        TAPROOT: "the key's P2TR address",
        SCRIPT: "a script's address",
        THEIRS: "another's address",
    }.items()
}


def script_of(script: bytes, **changes: object) -> dict[str, Any]:
    return {"asm": "", "hex": script.hex(), "type": "any", **changes}


def out(script: bytes, value: object = 0.5, n: int = 0, **changes: object) -> dict[str, Any]:
    return {"value": value, "n": n, "scriptPubKey": script_of(script), **changes}


def spent(script: bytes = THEIRS, value: float = 2.0) -> dict[str, Any]:
    prevout = {"generated": False, "height": 1, "value": value, "scriptPubKey": script_of(script)}
    return {"txid": "c" * 64, "vout": 0, "sequence": 0, "prevout": prevout}


def sent(*outputs: dict[str, Any], vin: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"txid": ID, "hash": ID, "vin": vin or [spent()], "vout": list(outputs)}


class Case(NamedTuple):
    """One crafted transaction; `expected` is what is read: index, address and amount."""

    name: str
    what: str
    transaction: dict[str, Any]
    expected: list[tuple[str, bytes, int]] | None


HALF = ("out:0", OURS, 50_000_000)

CASES = [
    Case("usual", "one output to our address", sent(out(OURS)), [HALF]),
    Case(
        "same address twice",
        "two outputs to one address are two deposits",
        sent(out(OURS), out(OURS, 0.25, 1)),
        [HALF, ("out:1", OURS, 25_000_000)],
    ),
    Case(
        "second output",
        "ours is not the first output: its number is its own",
        sent(out(THEIRS), out(OURS, 0.25, 1)),
        [("out:0", THEIRS, 50_000_000), ("out:1", OURS, 25_000_000)],
    ),
    Case(
        "coinbase",
        "mined to our address: waits for 100 blocks",
        sent(out(OURS), vin=[{"coinbase": "03a0860100", "sequence": 0}]),
        [HALF],
    ),
    Case("no amount", "an output of 0 to our address", sent(out(OURS, 0.0)), []),
    Case(
        "one satoshi", "1e-8, as some nodes write it", sent(out(OURS, 1e-8)), [("out:0", OURS, 1)]
    ),
    Case(
        "bare key",
        "P2PK to our key: not an address, so nobody's",
        sent(out(b"\x21" + KEY + b"\xac")),
        [],
    ),
    Case(
        "bare multisig",
        "1 of 1 with our key",
        sent(out(b"\x51\x21" + KEY + b"\x51\xae")),
        [],
    ),
    Case(
        "old address of the key",
        "P2PKH of the same key: another address, which we give to nobody",
        sent(out(OLD)),
        [("out:0", OLD, 50_000_000)],
    ),
    Case(
        "nested address of the key",
        "P2SH of our script: another address",
        sent(out(NESTED)),
        [("out:0", NESTED, 50_000_000)],
    ),
    Case(
        "taproot address of the key",
        "P2TR of our key: another address",
        sent(out(TAPROOT)),
        [("out:0", TAPROOT, 50_000_000)],
    ),
    Case(
        "script address",
        "P2WSH of a script with our key: another address",
        sent(out(SCRIPT)),
        [("out:0", SCRIPT, 50_000_000)],
    ),
    Case(
        "dust",
        "294 satoshi: recorded, and credited if the asset's minimum allows it",
        sent(out(OURS, 0.00000294)),
        [("out:0", OURS, 294)],
    ),
    Case(
        "dust by the hundred",
        "300 outputs to our address are 300 deposits",
        sent(*(out(OURS, 0.00000546, n) for n in range(300))),
        [(f"out:{n}", OURS, 546) for n in range(300)],
    ),
    Case(
        "other push",
        "our key's hash behind OP_PUSHDATA1: no witness program, anyone can spend it",
        sent(out(b"\x00\x4c\x14" + HASH)),
        [],
    ),
    Case(
        "never spendable",
        "an opcode that fails, then our script",
        sent(out(b"\xff" + OURS)),
        [],
    ),
    Case(
        "without witness",
        "as nodes send it to those who do not ask for witnesses",
        sent(out(OURS), vin=[{"txid": "c" * 64, "vout": 0, "sequence": 0}]),
        [HALF],
    ),
    Case(
        "data",
        "OP_RETURN followed by our script",
        sent(out(b"\x6a" + bytes((len(OURS),)) + OURS)),
        [],
    ),
    Case(
        "node names us",
        "the node's `address` is ours, the script another's: the script counts",
        sent(out(THEIRS, scriptPubKey=script_of(THEIRS, address=address_of(MAINNET, OURS)))),
        [("out:0", THEIRS, 50_000_000)],
    ),
    Case(
        "longer program",
        "our script with one byte more",
        sent(out(b"\x00\x15" + HASH + b"\0")),
        [],
    ),
    Case(
        "other witness version",
        "our key's hash as a program of version 1, which anyone can spend",
        sent(out(witness_script(1, HASH))),
        [],
    ),
    Case(
        "pay to anchor", "version 1 with two bytes", sent(out(witness_script(1, b"\x4e\x73"))), []
    ),
    Case("script with a tail", "our P2WPKH script and OP_NOP", sent(out(OURS + b"\x61")), []),
    Case("no script", "an empty script: anyone can spend it", sent(out(b"")), []),
    Case(
        "huge script",
        "100,000 bytes",
        sent(out(b"\x61" * 100_000), out(OURS, 0.5, 1)),
        [("out:1", OURS, 50_000_000)],
    ),
    Case(
        "odd witness",
        "witness, script and comments of the wrong kind are not looked at",
        sent(
            {**out(OURS), "asm": 7},
            vin=[{**spent(), "txinwitness": [None, {}], "scriptSig": "?", "sequence": -1}],
        ),
        [HALF],
    ),
    Case(
        "off the chain proper",
        "an output of Litecoin's MWEB, without value, among usual ones",
        sent(out(OURS), {"ismweb": True, "output_id": "e" * 64}),
        [HALF],
    ),
    Case(
        "more out than in",
        "outputs above inputs cannot be",
        sent(out(OURS, 2.00000001)),
        WAIT,
    ),
    Case("negative", "an amount below 0", sent(out(OURS, -0.5)), WAIT),
    Case("too exact", "an amount with parts of a satoshi", sent(out(OURS, 0.123456789)), WAIT),
    Case("not a number", "an amount that is a word", sent(out(OURS, "NaN")), WAIT),
    Case("endless", "an amount above all coins", sent(out(OURS, 1e300)), WAIT),
    Case("wrong number", "an output that says it is another", sent(out(OURS, 0.5, 1)), WAIT),
    Case(
        "no hex",
        "a script that is not hexadecimal",
        sent(out(OURS, scriptPubKey={"hex": "zz"})),
        WAIT,
    ),
]


NODE = "tests/contract/test_bitcoin_node.py"
BLOCKS = "tests/unit/test_bitcoin_blocks.py"
COINS = "tests/scenarios/coins/test_withdrawals_coins.py"
MINED = "tests/scenarios/coins/test_deposits_coins.py"
DEPOSITS = "tests/scenarios/test_deposits.py"
IN_TIME = [
    (
        "unconfirmed",
        "no deposit before it is in a block",
        f"{NODE}::test_what_is_in_no_block_is_no_deposit",
    ),
    (
        "replaced",
        "what was replaced before it was in a block never was a deposit",
        f"{NODE}::test_of_a_replaced_payment_nothing_arrives",
    ),
    (
        "block left the chain",
        "taken back, and its money too if it was credited",
        f"{DEPOSITS}::test_a_credit_is_taken_back_when_its_block_leaves_the_chain",
    ),
    (
        "mined again in another block",
        "the same deposit, credited once more",
        f"{MINED}::test_a_credited_deposit_that_is_mined_again_elsewhere_is_credited_once",
    ),
    (
        "mined to us",
        "credited after 100 confirmations",
        f"{MINED}::test_what_is_mined_to_a_user_is_credited_after_100_blocks",
    ),
    (
        "mined to the hot wallet",
        "a coin of ours after 100 confirmations",
        f"{COINS}::test_a_mined_coin_is_spent_after_100_blocks_and_not_before",
    ),
    (
        "same id twice in a block",
        "the block is asked for again (CVE-2012-2459)",
        f"{BLOCKS}::test_ids_repeated_under_the_same_root_make_no_block",
    ),
    (
        "same id in two blocks",
        "one deposit; since BIP-34 and BIP-30 it cannot be",
        f"{MINED}::test_one_id_in_two_blocks_is_one_deposit",
    ),
]
"""What is odd in when and where it is mined, and the test that tells."""


@pytest.mark.parametrize("row", IN_TIME, ids=lambda row: row[0])
def test_what_is_listed_of_time_is_tested(row: tuple[str, str, str]) -> None:
    path, _, name = row[2].partition("::")
    assert f"def {name}(" in (LISTING.parents[2] / path).read_text()


def read(transaction: dict[str, Any]) -> Transaction:
    return read_json(MAINNET, json_block(transaction)).transactions[-1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_odd_deposits_are_read_as_listed(case: Case) -> None:
    if case.expected is WAIT:
        with pytest.raises((NodeUnavailable, msgspec.MsgspecError, ValueError)):
            read(case.transaction)
        return
    found = [(t.index, t.address, t.amount_minor) for t in read(case.transaction).transfers]
    assert found == [(i, address_of(MAINNET, script), n) for i, script, n in case.expected]


def test_what_is_mined_waits_and_the_rest_does_not() -> None:
    by_name = {case.name: case.transaction for case in CASES}
    assert [t.depth_min for t in read(by_name["coinbase"]).transfers] == [100]
    assert [t.depth_min for t in read(by_name["usual"]).transfers] == [1]


def test_change_names_us_as_its_sender() -> None:
    found = read(sent(out(THEIRS), out(OURS, 0.25, 1), vin=[spent(OURS), spent(OURS)]))
    ours = address_of(MAINNET, OURS)
    assert found.payer == ours
    assert [t.sender for t in found.transfers] == [ours, ours]
    assert found.fee_minor == 325_000_000


def test_of_several_senders_none_is_named() -> None:
    found = read(sent(out(OURS), vin=[spent(OURS), spent(THEIRS)]))
    assert (found.payer, found.transfers[0].sender) == (None, None)


def test_of_a_sender_without_address_nothing_is_said() -> None:
    found = read(sent(out(OURS), vin=[spent(b"\x21" + KEY + b"\xac")]))
    assert (found.payer, found.fee_minor) == (None, 150_000_000)


def describe(case: Case) -> str:
    if case.expected is WAIT:
        return "block asked for again"
    if len(case.expected) > 2:
        return f"{len(case.expected)} deposits"
    found = [
        f"{amount} to {NAMES[address_of(MAINNET, script)]} ({index})"
        for index, script, amount in case.expected
    ]
    return ", ".join(found) or "nothing"


def make_listing() -> str:
    """Return docs/odd_deposits/bitcoin.md."""
    rows = [f"| {case.name} | {case.what} | {describe(case)} |" for case in CASES]
    timely = [f"| {name} | {what} | {test} |" for name, what, test in IN_TIME]
    return (
        "# Odd deposits on Bitcoin\n\n"
        "Each line is a crafted transaction that pays, or seems to pay, an address of ours, and"
        " what is read of it, in satoshi.\nMade from the table in"
        " tests/unit/test_bitcoin_fakes.py, which tests every line. A transaction that is not in"
        " a block is not read at all.\n\n"
        "| name | what | read as |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n\n"
        "And what is odd in when and where it is mined:\n\n"
        "| name | what comes of it | tested by |\n| --- | --- | --- |\n" + "\n".join(timely) + "\n"
    )


def test_the_listing_for_people_is_this_table() -> None:
    assert LISTING.read_text() == make_listing()
