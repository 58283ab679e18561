"""What looks like a deposit on Solana and is none, or is an odd one. Also listed for people to
read in docs/odd_deposits/solana.md, which is made from the table below."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chain_adapters.solana.programs import TOKEN_2022_PROGRAM, VOTE_PROGRAM
from chain_adapters.types import Block, NodeUnavailable
from tests.support.solana_vectors import (
    MINT,
    OTHER,
    OTHER_MINT,
    OURS,
    PAYER,
    PROGRAM,
    SENDER,
    craft,
    holding,
    key,
    read_block,
    wrap,
)

WAIT = None
"""Outcome: the block is not read; another node is asked, and this one again."""

LISTING = Path(__file__).parents[2] / "docs" / "odd_deposits" / "solana.md"
NATIVE_MINT = "So11111111111111111111111111111111111111112"
ACCOUNT, SECOND = key("Account"), key("Second")
RENT = 2_039_280

PAID = ((PAYER, 1000_000, 994_993), (OURS, 0, 7))
IDLE = ((PAYER, 1000_000, 995_000), (ACCOUNT, RENT, RENT))


class Case(NamedTuple):
    """A crafted transaction that concerns an address of ours, and what is read of it there."""

    name: str
    what: str
    transaction: Any
    expected: list[tuple[str, int]] | None
    """Asset ("SOL", "token" or "other token") and minor units; WAIT if no block is read."""


def tokens(before: Any, after: Any, **changes: object) -> dict[str, Any]:  # noqa: ANN401
    return craft(*IDLE, before=before, after=after, **changes)  # type: ignore[arg-type]


CASES = [
    Case("SOL", "the usual transfer of SOL", craft(*PAID), [("SOL", 7)]),
    Case("token", "the usual transfer", tokens([holding(1, 5)], [holding(1, 12)]), [("token", 7)]),
    Case(
        "first token",
        "our account is made by the transaction: a missing balance before is 0",
        tokens([], [holding(1, 7)]),
        [("token", 7)],
    ),
    Case(
        "inner transfer",
        "SOL moved inside another program's call, with no transfer instruction of its own",
        craft((PAYER, 10**6, 995_000), (SENDER, 100, 93), (OURS, 0, 7), programs=(PROGRAM,)),
        [("SOL", 7)],
    ),
    Case(
        "SOL and token",
        "both in one transaction are two deposits",
        craft(*PAID, before=[], after=[holding(2, 9)]),
        [("SOL", 7), ("token", 9)],
    ),
    Case(
        "two tokens",
        "two mints in one transaction are two deposits",
        tokens([], [holding(1, 7), holding(2, 9, mint=OTHER_MINT)]),
        [("token", 7), ("other token", 9)],
    ),
    Case(
        "two accounts",
        "two token accounts of ours with the same mint are one deposit",
        tokens([holding(1, 1)], [holding(1, 3), holding(2, 5)]),
        [("token", 7)],
    ),
    Case(
        "moved within",
        "tokens moved from one account of ours to another",
        tokens([holding(1, 7)], [holding(1, 0), holding(2, 7)]),
        [],
    ),
    Case(
        "Token-2022",
        "a token of the newer program",
        tokens([], [holding(1, 7, program=TOKEN_2022_PROGRAM)]),
        [("token", 7)],
    ),
    Case(
        "fee kept back",
        "Token-2022 with a transfer fee: 100 were sent, 93 arrived",
        tokens(
            [holding(1, 0), holding(2, 100, SENDER)],
            [holding(1, 93), holding(2, 0, SENDER)],
        ),
        [("token", 93)],
    ),
    Case(
        "loaded account",
        "our address comes out of a lookup table of a version 0 transaction",
        craft(
            (PAYER, 10**6, 995_000),
            loadedAddresses={"writable": [OURS], "readonly": []},
            preBalances=[1000_000, 1, 0],
            postBalances=[994_993, 1, 7],
        ),
        [("SOL", 7)],
    ),
    Case("version 1", "the form of 2026", {**craft(*PAID), "version": 1}, [("SOL", 7)]),
    Case(
        "failed, an object",
        "meta.err with balances that changed all the same",
        craft(*PAID, err={"InstructionError": [0, {"Custom": 1}]}),
        [],
    ),
    Case("failed, a text", "meta.err is a text", craft(*PAID, err="InvalidRentPayingAccount"), []),
    Case(
        "failed token transfer",
        "meta.err, and token balances",
        tokens([], [holding(1, 7)], err={"InstructionError": [2, "ProgramFailedToComplete"]}),
        [],
    ),
    Case(
        "error not told",
        "no meta.err at all is no success",
        {**craft(*PAID), "meta": {k: v for k, v in craft(*PAID)["meta"].items() if k != "err"}},
        [],
    ),
    Case(
        "unknown program",
        "a token of a program that is not one of the two",
        tokens([], [holding(1, 7, program=PROGRAM)]),
        [],
    ),
    Case(
        "no program told",
        "blocks of before 2022 do not say whose token it is",
        tokens([], [holding(1, 7, program=None)]),
        [],
    ),
    Case(
        "no owner told",
        "blocks of before 2022 do not say who owns the account",
        tokens([], [holding(1, 7, owner=None)]),
        [],
    ),
    Case(
        "same name, another mint",
        "a token that calls itself like ours is told by its mint",
        tokens([], [holding(1, 7, mint=OTHER_MINT)]),
        [("other token", 7)],
    ),
    Case(
        "token account's address",
        "tokens belong to the owner of the account, not to the account's address",
        craft((PAYER, 10**6, 995_000), (OURS, RENT, RENT), after=[holding(1, 7, SENDER)]),
        [],
    ),
    Case(
        "rent of a token account",
        "lamports in a token account are no SOL of its owner",
        craft((PAYER, 10**7, 10**7 - 5000 - RENT), (ACCOUNT, 0, RENT), after=[holding(1, 0)]),
        [],
    ),
    Case(
        "SOL to a token account",
        "lamports sent to a token account whose address is watched",
        craft(
            (PAYER, 10**6, 994_993),
            (OURS, RENT, RENT + 7),
            before=[holding(1, 5, SENDER)],
            after=[holding(1, 5, SENDER)],
        ),
        [],
    ),
    Case(
        "wrapped SOL",
        "a token of the native mint, not SOL",
        craft(
            (PAYER, 10**7, 10**7 - 5007),
            (ACCOUNT, RENT, RENT + 7),
            before=[holding(1, 0, mint=NATIVE_MINT)],
            after=[holding(1, 7, mint=NATIVE_MINT)],
        ),
        [("other token", 7)],
    ),
    Case(
        "given account",
        "a token account with tokens in it is made over to us",
        tokens([holding(1, 7, SENDER)], [holding(1, 7)]),
        [("token", 7)],
    ),
    Case("no amount", "a token account of ours is made, empty", tokens([], [holding(1, 0)]), []),
    Case(
        "nothing changed",
        "our account is only mentioned",
        craft((PAYER, 10**6, 995_000), (OURS, 7, 7)),
        [],
    ),
    Case(
        "taken from us",
        "tokens leave our account",
        tokens([holding(1, 7)], [holding(1, 0), holding(2, 7, OTHER)]),
        [],
    ),
    Case(
        "vote",
        "a vote moves nothing and is left out",
        craft((PAYER, 10**6, 995_000), (OURS, 7, 7), programs=(VOTE_PROGRAM,)),
        [],
    ),
    Case(
        "withdrawn from a vote account",
        "the vote program can pay out: that is no vote",
        craft((PAYER, 10**6, 995_000), (SENDER, 50, 43), (OURS, 0, 7), programs=(VOTE_PROGRAM,)),
        [("SOL", 7)],
    ),
    Case(
        "rounded number",
        "uiAmount says more than amount does",
        tokens(
            [],
            [
                holding(1, 7)
                | {"uiTokenAmount": {"amount": "7", "uiAmount": 9e9, "uiAmountString": "9e9"}}
            ],
        ),
        [("token", 7)],
    ),
    Case("amount in words", "it is no number", tokens([], [holding(1, "7e6")]), []),
    Case("negative amount", "it is no number", tokens([], [holding(1, "-7")]), []),
    Case("form of the future", "the message has another form", {"transaction": [], "meta": {}}, []),
    Case("encoded", "base64 although JSON was asked for", {"transaction": ["AQ", "base64"]}, []),
    Case("no outcome", "meta is null", {**craft(*PAID), "meta": None}, WAIT),
    Case("balance missing", "fewer after than before", craft(*PAID, postBalances=[1]), WAIT),
    Case(
        "account missing",
        "the table's accounts are not told",
        craft(*PAID, preBalances=[1000_000, 0, 1, 0], postBalances=[994_993, 7, 1, 0]),
        WAIT,
    ),
]


def read(case: Case) -> Block:
    return read_block(wrap([case.transaction, craft((OTHER, 10, 5), fee=5)]))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_read_is_what_the_table_says(case: Case) -> None:
    if case.expected is WAIT:
        with pytest.raises(NodeUnavailable):
            read(case)
        return
    names = {None: "SOL", MINT: "token"}
    transfers = [t for x in read(case).transactions for t in x.transfers if t.address == OURS]
    assert [(names.get(t.contract, "other token"), t.amount_minor) for t in transfers] == (
        case.expected
    )


@pytest.mark.parametrize("case", [c for c in CASES if c.expected is not WAIT], ids=lambda c: c.name)
def test_no_transaction_keeps_the_others_of_its_block_from_being_read(case: Case) -> None:
    assert read(case).transactions[-1].payer == OTHER


@pytest.mark.parametrize("case", [c for c in CASES if c.expected], ids=lambda c: c.name)
def test_fees_and_transfers_explain_what_the_payer_lost(case: Case) -> None:
    transaction = read(case).transactions[0]
    meta = case.transaction["meta"]
    sent = sum(
        t.amount_minor
        for t in transaction.transfers
        if t.sender == PAYER == t.sender and t.contract is None
    )
    assert transaction.fee_minor is not None
    assert transaction.fee_minor + sent == meta["preBalances"][0] - meta["postBalances"][0]


def test_rent_is_part_of_the_fee() -> None:
    [case] = [case for case in CASES if case.name == "rent of a token account"]
    assert read(case).transactions[0].fee_minor == 5000 + RENT


def test_what_is_left_out_is_told() -> None:
    odd: list[str] = []
    block = wrap([case.transaction for case in CASES if case.name.endswith(("words", "future"))])
    assert read_block(block, odd=odd).transactions == ()
    assert len(odd) == 2


def test_the_sender_is_told_where_there_is_only_one() -> None:
    of = {c.name: read(c).transactions[0].transfers[0].sender for c in CASES if c.expected}
    assert of["SOL"] == PAYER
    assert of["inner transfer"] == of["fee kept back"] == of["given account"] == SENDER
    assert of["first token"] is None


def describe(case: Case) -> str:
    if case.expected is WAIT:
        return "block asked for again"
    return ", ".join(f"{amount} {asset}" for asset, amount in case.expected) or "nothing"


def make_listing() -> str:
    """Return docs/odd_deposits/solana.md."""
    rows = [f"| {case.name} | {case.what} | {describe(case)} |" for case in CASES]
    return (
        "# Odd deposits on Solana\n\n"
        "Each line is a crafted transaction that pays, or seems to pay, an address of ours, and"
        " what is read of it.\n"
        "Made from the table in tests/unit/test_solana_fakes.py, which tests every line.\n\n"
        "| name | what | read as |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def test_the_list_for_people_is_this_table() -> None:
    assert LISTING.read_text() == make_listing()
