"""What looks like a deposit on Solana and is none, or is an odd one: crafted transactions, and what
is to be read of each."""

from __future__ import annotations

from typing import Any, NamedTuple

from chain_adapters.solana.programs import TOKEN_2022_PROGRAM, VOTE_PROGRAM
from tests.support.solana_vectors import (
    OTHER,
    OTHER_MINT,
    OURS,
    PAYER,
    PROGRAM,
    SENDER,
    craft,
    holding,
    key,
    load_transactions,
)

WAIT = None
"""Outcome: the block is not read; another node is asked, and this one again."""

NATIVE_MINT = "So11111111111111111111111111111111111111112"
ACCOUNT, SECOND = key("Account"), key("Second")
RENT = 2_039_280

PAID = ((PAYER, 1000_000, 994_993), (OURS, 0, 7))
NOBODYS = craft(*PAID)["transaction"] | {"accountKeys": []}
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
        "SOL of another",
        "the payer lost more than the fee, and so did somebody else",
        craft((PAYER, 10**6, 994_000), (SENDER, 100, 50), (OURS, 0, 7)),
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
        craft((PAYER, 10**6, 994_993), loaded=((OURS, 0, 7),)),
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
        "owner told of one side",
        "the node says whose the account is after the transaction, and not whose it was before",
        tokens([holding(1, 5, owner=None)], [holding(1, 12)]),
        WAIT,
    ),
    Case(
        "program told of one side",
        "the node says whose token it is after the transaction, and not before",
        tokens([holding(1, 5, program=None)], [holding(1, 12)]),
        WAIT,
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
    Case(
        "given away",
        "our token account is made over to another, with what is in it",
        tokens([holding(1, 7)], [holding(1, 7, OTHER)]),
        [],
    ),
    Case(
        "out of a vault",
        "a program pays a token out of an account of its own, in an inner call",
        tokens([holding(2, 9, PROGRAM)], [holding(1, 7), holding(2, 2, PROGRAM)]),
        [("token", 7)],
    ),
    Case(
        "passed on",
        "a token comes to our account and leaves it in the same transaction",
        tokens([holding(1, 5), holding(2, 7, SENDER)], [holding(1, 5), holding(2, 7, OTHER)]),
        [],
    ),
    Case(
        "account used again",
        "an account of another token is closed and made anew for ours, in one transaction",
        tokens([holding(1, 9, SENDER, OTHER_MINT)], [holding(1, 7)]),
        [("token", 7)],
    ),
    Case(
        "confidential",
        "a confidential transfer of Token-2022 shows in no balance",
        tokens(
            [holding(1, 5, program=TOKEN_2022_PROGRAM)],
            [holding(1, 5, program=TOKEN_2022_PROGRAM)],
        ),
        [],
    ),
    Case(
        "token account closed",
        "an empty token account is closed, and its rent comes to our address",
        craft((PAYER, 10**6, 995_000), (ACCOUNT, RENT, 0), (OURS, 0, RENT), before=[holding(1, 0)]),
        [("SOL", RENT)],
    ),
    Case(
        "unwrapped",
        "an account of wrapped SOL is closed: what was in it, and its rent, are SOL now",
        craft(
            (PAYER, 10**6, 995_000),
            (ACCOUNT, RENT + 7, 0),
            (OURS, 0, RENT + 7),
            before=[holding(1, 7, mint=NATIVE_MINT)],
        ),
        [("SOL", RENT + 7)],
    ),
    Case(
        "made and closed",
        "SOL comes through a wrapped account that the transaction makes and closes",
        craft((PAYER, 10**6, 994_993), (ACCOUNT, 0, 0), (OURS, 0, 7)),
        [("SOL", 7)],
    ),
    Case(
        "rent only",
        "the least that an account can hold, and nothing more",
        craft((PAYER, 10**7, 10**7 - 5000 - 890_880), (OURS, 0, 890_880)),
        [("SOL", 890_880)],
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
        "vote and idle call",
        "what moves nothing and names the vote program counts as a vote",
        craft((PAYER, 10**6, 995_000), (OURS, 7, 7), programs=(VOTE_PROGRAM, PROGRAM)),
        [],
    ),
    Case(
        "vote and payment",
        "a vote and a payment in one transaction",
        craft(*PAID, programs=(VOTE_PROGRAM, PROGRAM)),
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
    Case(
        "not as asked",
        "whole transactions: the node does not know that accounts can be asked for",
        load_transactions("gettransaction_native_sol_transfer")[0],
        WAIT,
    ),
    Case("no outcome", "meta is null", {**craft(*PAID), "meta": None}, WAIT),
    Case(
        "account told twice",
        "the same token account is twice among the balances after",
        tokens([], [holding(1, 7), holding(1, 7)]),
        WAIT,
    ),
    Case(
        "account that is not there",
        "a token balance of an account that the transaction does not name",
        tokens([], [holding(9, 7)]),
        WAIT,
    ),
    Case("no balances", "of no account", craft(*PAID, preBalances=[], postBalances=[]), WAIT),
    Case("no accounts", "not even the payer", craft(*PAID) | {"transaction": NOBODYS}, WAIT),
    Case(
        "tokens before only",
        "what the account held is told, and not what it holds now",
        tokens([holding(1, 5)], [], postTokenBalances=None),
        WAIT,
    ),
    Case(
        "out of nothing",
        "our balance rises, and nobody lost that much",
        craft((PAYER, 10**6, 995_000), (OURS, 0, 7)),
        WAIT,
    ),
    Case(
        "fee too high",
        "the fee is told above what we, who paid it, lost: the rest would be ours",
        craft((OURS, 10**6, 995_000), (ACCOUNT, 9, 9), fee=5007),
        WAIT,
    ),
    Case(
        "fee too high beside a transfer",
        "so that the payer would seem to have received",
        craft((OURS, 10**6, 994_993), (OTHER, 0, 7), fee=6000),
        WAIT,
    ),
    Case(
        "fee of a failure too high",
        "a failed transaction costs its fee and no less",
        craft((OURS, 10**6, 995_000), (ACCOUNT, 9, 9), fee=5007, err="AccountNotFound"),
        WAIT,
    ),
    Case("balance missing", "fewer after than before", craft(*PAID, postBalances=[1]), WAIT),
    Case(
        "account missing",
        "the table's accounts are not told",
        craft(*PAID, preBalances=[1000_000, 0, 1, 0], postBalances=[994_993, 7, 1, 0]),
        WAIT,
    ),
]
