"""What looks like a deposit on Dogecoin and is none, or is an odd one, in the bytes of nodes that
give no JSON of it. Also listed for people to read in docs/odd_deposits/dogecoin.md, which is made
from the table below."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from chain_adapters.dogecoin.chains import MAINNET
from chain_adapters.types import NodeUnavailable, Transaction
from chain_adapters.utxo.address import (
    address_of,
    hash_key,
    p2pkh_script,
    p2sh_script,
    witness_script,
)
from tests.support.utxo_vectors import raw_block, raw_transaction, read_raw

KEY = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
HASH = hash_key(KEY)
OURS, THEIRS = p2pkh_script(HASH), p2pkh_script(b"\7" * 20)
SCRIPT = p2sh_script(HASH)
NOTHING = "0" * 64
WAIT = None
"""Outcome: the block is not read; it is asked for again."""
AUXPOW = 0x00620102
"""A version with the bit that says that another chain's proof of work follows the header."""

LISTING = Path(__file__).parents[2] / "docs" / "odd_deposits" / "dogecoin.md"
NAMES = {OURS: "our address", THEIRS: "another's address", SCRIPT: "a script's address"}
OTHERS = raw_transaction((1, THEIRS), spends=NOTHING)


def proof_of(parent_coinbase: bytes) -> bytes:
    """An AuxPoW: the parent's coinbase, its block, two branches of one hash each, its header."""
    branch = b"\x01" + b"\5" * 32 + bytes(4)
    return parent_coinbase + b"\6" * 32 + branch + branch + b"\x09" * 80


class Case(NamedTuple):
    """One crafted block; `expected` is what is read of its last transaction."""

    name: str
    what: str
    block: bytes
    expected: list[tuple[str, bytes, int]] | None


def paid(*outputs: tuple[int, bytes], **changes: object) -> bytes:
    return raw_block(OTHERS, raw_transaction(*outputs, **changes))  # type: ignore[arg-type]


ONE = 10**8
USUAL = ("out:0", OURS, ONE)
PARENT = raw_transaction((50 * ONE, OURS), spends=NOTHING)

CASES = [
    Case("usual", "one output to our address", paid((ONE, OURS)), [USUAL]),
    Case(
        "same address twice",
        "two outputs to one address are two deposits",
        paid((ONE, OURS), (2 * ONE, OURS)),
        [USUAL, ("out:1", OURS, 2 * ONE)],
    ),
    Case(
        "coinbase",
        "mined to our address: waits for 240 blocks",
        raw_block(raw_transaction((10_000 * ONE, OURS), spends=NOTHING)),
        [("out:0", OURS, 10_000 * ONE)],
    ),
    Case(
        "merge-mined",
        "another chain's proof of work between header and transactions",
        raw_block(OTHERS, raw_transaction((ONE, OURS)), version=AUXPOW, proof=proof_of(OTHERS)),
        [USUAL],
    ),
    Case(
        "parent's coinbase",
        "that proof's own transaction pays us: it is on the other chain",
        raw_block(OTHERS, raw_transaction((ONE, THEIRS)), version=AUXPOW, proof=proof_of(PARENT)),
        [("out:0", THEIRS, ONE)],
    ),
    Case(
        "proof without its bit",
        "a proof of work where the version says there is none",
        raw_block(OTHERS, raw_transaction((ONE, OURS)), proof=proof_of(PARENT)),
        WAIT,
    ),
    Case(
        "bit without its proof",
        "the version says there is a proof of work and there is none",
        raw_block(OTHERS, raw_transaction((ONE, OURS)), version=AUXPOW),
        WAIT,
    ),
    Case("no amount", "an output of 0 to our address", paid((0, OURS)), []),
    Case(
        "a billion coins",
        "more than 53 bits hold",
        paid((10**17 + 1, OURS)),
        [("out:0", OURS, 10**17 + 1)],
    ),
    Case(
        "witness program",
        "our key's hash in a script of segregated witness, which Dogecoin has not",
        paid((ONE, witness_script(0, HASH))),
        [],
    ),
    Case(
        "script address",
        "P2SH with our key's hash: another address",
        paid((ONE, SCRIPT)),
        [("out:0", SCRIPT, ONE)],
    ),
    Case("bare key", "P2PK to our key: nobody's", paid((ONE, b"\x21" + KEY + b"\xac")), []),
    Case(
        "bare multisig",
        "1 of 1 with our key: nobody's",
        paid((ONE, b"\x51\x21" + KEY + b"\x51\xae")),
        [],
    ),
    Case(
        "dust",
        "0.001 DOGE, as inscriptions send it: recorded, and credited if the minimum allows it",
        paid((100_000, OURS)),
        [("out:0", OURS, 100_000)],
    ),
    Case(
        "dust by the hundred",
        "200 outputs to our address are 200 deposits",
        paid(*[(100_000, OURS)] * 200),
        [(f"out:{n}", OURS, 100_000) for n in range(200)],
    ),
    Case("never spendable", "an opcode that fails", paid((ONE, b"\xff" + OURS)), []),
    Case(
        "same id twice",
        "a transaction that is in the block two times",
        raw_block(OTHERS, *[raw_transaction((ONE, OURS))] * 2),
        WAIT,
    ),
    Case("data", "OP_RETURN followed by our script", paid((ONE, b"\x6a\x19" + OURS)), []),
    Case("script with a tail", "our script and OP_NOP", paid((ONE, OURS + b"\x61")), []),
    Case("no script", "an empty script: anyone can spend it", paid((ONE, b"")), []),
    Case(
        "data that looks like an output",
        "a whole transaction to us inside an input's script",
        paid((ONE, THEIRS), script=raw_transaction((ONE, OURS))),
        [("out:0", THEIRS, ONE)],
    ),
    Case("negative", "an amount with its sign bit set", paid((2**63, OURS)), WAIT),
    Case("cut", "the last byte is missing", paid((ONE, OURS))[:-1], WAIT),
    Case("more than a block", "bytes behind the last transaction", paid((ONE, OURS)) + b"\0", WAIT),
    Case(
        "other transactions",
        "a transaction that is not under the header's merkle root",
        paid((ONE, THEIRS)).replace(THEIRS, OURS),
        WAIT,
    ),
]


def read(block: bytes) -> Transaction:
    return read_raw(MAINNET, block).transactions[-1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_odd_deposits_are_read_as_listed(case: Case) -> None:
    if case.expected is WAIT:
        with pytest.raises(NodeUnavailable):
            read(case.block)
        return
    found = [(t.index, t.address, t.amount_minor) for t in read(case.block).transfers]
    assert found == [(i, address_of(MAINNET, script), n) for i, script, n in case.expected]


def test_what_is_mined_waits_and_the_rest_does_not() -> None:
    by_name = {case.name: case.block for case in CASES}
    assert [t.depth_min for t in read(by_name["coinbase"]).transfers] == [240]
    assert [t.depth_min for t in read(by_name["usual"]).transfers] == [1]


def describe(case: Case) -> str:
    if case.expected is WAIT:
        return "block asked for again"
    if len(case.expected) > 2:
        return f"{len(case.expected)} deposits"
    found = [f"{amount} to {NAMES[script]} ({index})" for index, script, amount in case.expected]
    return ", ".join(found) or "nothing"


def make_listing() -> str:
    """Return docs/odd_deposits/dogecoin.md."""
    rows = [f"| {case.name} | {case.what} | {describe(case)} |" for case in CASES]
    return (
        "# Odd deposits on Dogecoin\n\n"
        "Each line is a crafted block whose last transaction pays, or seems to pay, an address of"
        " ours, and what is read of it, in minor units (10⁻⁸ DOGE).\nMade from the table in"
        " tests/unit/test_dogecoin_fakes.py, which tests every line. What docs/odd_deposits/"
        "bitcoin.md lists holds here too, where a node gives JSON; and what it lists of time, with"
        " 240 blocks for what is mined.\n\n"
        "| name | what | read as |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def test_the_listing_for_people_is_this_table() -> None:
    assert LISTING.read_text() == make_listing()
