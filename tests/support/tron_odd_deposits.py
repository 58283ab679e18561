"""Crafted transactions that pay, or seem to pay, an address of ours on TRON, and what is read.

The listing for people is docs/odd_deposits/tron.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

SENDER, RECIPIENT, TOKEN, OTHER, CONTRACT = (f"41{digit * 40}" for digit in "12345")
EVENT = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
WAIT = None
"""Outcome: the block is not read; it is asked for again."""


def word(text: str) -> str:
    return text.rjust(64, "0")


AMOUNT = word(f"{1000:x}")
CALL_DATA = "a9059cbb" + word(RECIPIENT) + AMOUNT


def sent(kind: str, ret: str = "SUCCESS", **value: object) -> dict[str, Any]:
    """A transaction of a block, its id to be given."""
    contract = {"parameter": {"value": {"owner_address": SENDER, **value}}, "type": kind}
    return {"ret": [{"contractRet": ret}], "raw_data": {"contract": [contract]}}


def trx(ret: str = "SUCCESS", **value: object) -> dict[str, Any]:
    return sent("TransferContract", ret, **{"to_address": RECIPIENT, "amount": 7, **value})


def called(ret: str = "SUCCESS", **value: object) -> dict[str, Any]:
    content = {"contract_address": TOKEN, "data": CALL_DATA, **value}
    return sent("TriggerSmartContract", ret, **content)


def ran(result: str = "SUCCESS", **changes: object) -> dict[str, Any]:
    """The info of a call."""
    failed = {} if result == "SUCCESS" else {"result": "FAILED"}
    return {"fee": 420, "receipt": {"result": result}, **failed, **changes}


def log(**changes: object) -> dict[str, Any]:
    topics = [EVENT, word(SENDER[2:]), word(RECIPIENT[2:])]
    return {"address": TOKEN[2:], "topics": topics, "data": AMOUNT, **changes}


def inner(note: str = "call", amount: int = 9, **changes: object) -> dict[str, Any]:
    usual = {"caller_address": CONTRACT, "transferTo_address": RECIPIENT}
    values = {"callValueInfo": [{"callValue": amount}], "note": note.encode().hex()}
    return {**usual, **values, **changes}


def calls(*inners: dict[str, Any]) -> dict[str, Any]:
    return ran(internal_transactions=list(inners))


class Case(NamedTuple):
    """One crafted transaction; `expected` is what is read: index, asset and amount of transfers."""

    name: str
    what: str
    transaction: dict[str, Any]
    info: dict[str, Any]
    expected: list[tuple[str, str, int]] | None


USUAL = ("log:0", TOKEN, 1000)
PLAIN: dict[str, Any] = {"receipt": {"net_usage": 268}}

CASES = [
    Case("TRX", "the usual transfer of TRX", trx(), PLAIN, [("value", "TRX", 7)]),
    Case("TRC-20", "the usual transfer of a token", called(), ran(log=[log()]), [USUAL]),
    Case("TRX failed", "contractRet is not SUCCESS", trx("OUT_OF_TIME"), PLAIN, []),
    Case("TRX without result", "no contractRet at all", {**trx(), "ret": []}, PLAIN, []),
    Case(
        "TRX, failed info",
        "contractRet SUCCESS, but the info says FAILED",
        trx(),
        {**PLAIN, "result": "FAILED"},
        [],
    ),
    Case("reverted", "REVERT, with the log all the same", called("REVERT"), ran("REVERT"), []),
    Case(
        "reverted with log",
        "receipt REVERT, contractRet SUCCESS and a log",
        called(),
        ran("REVERT", log=[log()]),
        [],
    ),
    Case(
        "log without success",
        "receipt SUCCESS and a log, contractRet OUT_OF_TIME",
        called("OUT_OF_TIME"),
        ran(log=[log()]),
        [],
    ),
    Case(
        "out of energy",
        "the fee is burned, nothing moved",
        called("OUT_OF_ENERGY"),
        ran("OUT_OF_ENERGY", log=[log()], fee=16_500_120),
        [],
    ),
    Case(
        "log without run",
        "a log, but no result of a contract in the receipt",
        called(),
        {"receipt": {"net_usage": 345}, "log": [log()]},
        [],
    ),
    Case(
        "call without event",
        "call data of a transfer, address with byte 0x41, and no event",
        called(),
        ran(),
        [],
    ),
    Case(
        "TRC-10",
        "a TRC-10 token is not a TRC-20 token, whatever its name",
        sent("TransferAssetContract", to_address=RECIPIENT, amount=7, asset_name=b"USDT".hex()),
        PLAIN,
        [],
    ),
    Case(
        "TRC-10 in an inner call",
        "an inner call that carries TRC-10 only",
        called(),
        calls(inner(callValueInfo=[{"callValue": 5, "tokenId": "1002000"}])),
        [],
    ),
    Case(
        "both in an inner call",
        "an inner call that carries TRC-10 and TRX: the TRX counts",
        called(),
        calls(inner(callValueInfo=[{"callValue": 5, "tokenId": "1002000"}, {"callValue": 3}])),
        [("call:0", "TRX", 3)],
    ),
    Case("inner call", "TRX paid by a contract", called(), calls(inner()), [("call:0", "TRX", 9)]),
    Case("inner call rejected", "it was undone", called(), calls(inner(rejected=True)), []),
    Case(
        "inner call of a failure",
        "the whole transaction was undone",
        called("REVERT"),
        ran("REVERT", internal_transactions=[inner()]),
        [],
    ),
    Case(
        "two inner calls",
        "two payments in one transaction are two deposits",
        called(),
        calls(inner(), inner(amount=11)),
        [("call:0", "TRX", 9), ("call:1", "TRX", 11)],
    ),
    Case(
        "delegation",
        "energy delegated or taken back shows an amount and moves no TRX",
        called(),
        calls(inner("unDelegateResourceOfEnergy"), inner("delegateResourceOfBandwidth"), inner()),
        [("call:0", "TRX", 9)],
    ),
    Case(
        "stake and votes inside",
        "freezing, unfreezing, voting and rewards are no payments",
        called(),
        calls(*(inner(note) for note in ("freezeBalanceV2ForEnergy", "voteWitness"))),
        [],
    ),
    Case(
        "destroyed contract",
        "a contract that leaves what it has to somebody",
        called(),
        calls(inner("suicide")),
        [("call:0", "TRX", 9)],
    ),
    Case(
        "destroyed for itself",
        "a contract destroyed in its own favour burns what it has",
        called(),
        calls(inner("suicide", caller_address=RECIPIENT)),
        [],
    ),
    Case(
        "TRX for a contract",
        "TRX that a call carries goes to the contract",
        called(call_value=5, contract_address=RECIPIENT),
        ran(),
        [("value", "TRX", 5)],
    ),
    Case(
        "TRX of a failed call", "is given back", called("REVERT", call_value=5), ran("REVERT"), []
    ),
    Case(
        "two events",
        "two events in one transaction are two deposits",
        called(),
        ran(log=[log(), log(data=word("5"))]),
        [USUAL, ("log:1", TOKEN, 5)],
    ),
    Case(
        "same symbol",
        "a token of another contract is named by that contract",
        called(),
        ran(log=[log(address=OTHER[2:])]),
        [("log:0", OTHER, 1000)],
    ),
    Case(
        "event of another kind",
        "the topic differs in one digit",
        called(),
        ran(log=[log(topics=[EVENT[:-1] + "0", word(SENDER[2:]), word(RECIPIENT[2:])])]),
        [],
    ),
    Case(
        "TRC-721",
        "a fourth topic is the id of a single piece",
        called(),
        ran(log=[log(topics=[EVENT, word(SENDER[2:]), word(RECIPIENT[2:]), AMOUNT])]),
        [],
    ),
    Case(
        "event without recipient",
        "two topics",
        called(),
        ran(log=[log(topics=[EVENT, word(SENDER[2:])])]),
        [],
    ),
    Case("anonymous event", "no topics", called(), ran(log=[log(topics=[])]), []),
    Case(
        "recipient is no address",
        "more than 20 bytes in the topic",
        called(),
        ran(log=[log(topics=[EVENT, word(SENDER[2:]), word("41" + RECIPIENT[2:])])]),
        [],
    ),
    Case("amount of 31 bytes", "data too short", called(), ran(log=[log(data=AMOUNT[2:])]), []),
    Case("amount of 64 bytes", "data too long", called(), ran(log=[log(data=2 * AMOUNT)]), []),
    Case(
        "zero tokens",
        "anybody can move 0 tokens of anybody (address poisoning)",
        called(),
        ran(log=[log(data=word("0"))]),
        [],
    ),
    Case(
        "minted",
        "tokens that come from nobody have come",
        called(),
        ran(log=[log(topics=[EVENT, word("0"), word(RECIPIENT[2:])])]),
        [USUAL],
    ),
    Case(
        "fee on transfer",
        "a token that keeps a fee: what the event says counts, not the call",
        called(),
        ran(log=[log(data=word(f"{990:x}"))]),
        [("log:0", TOKEN, 990)],
    ),
    Case(
        "vote",
        "a transaction of another type costs a fee and moves nothing",
        sent("VoteWitnessContract", votes=[{"vote_count": 5}]),
        {"fee": 269_000, "receipt": {"net_fee": 269_000}},
        [],
    ),
    Case(
        "unfreeze",
        "one's own stake coming back is no payment",
        sent("UnfreezeBalanceV2Contract", unfreeze_balance=5_000_000),
        {"receipt": {}, "unfreeze_amount": 5_000_000},
        [],
    ),
    Case(
        "type of the future",
        "a type nobody knows, with content of any form",
        {"ret": [{"contractRet": "SUCCESS"}], "raw_data": {"contract": [{"type": "NewContract"}]}},
        PLAIN,
        [],
    ),
    Case(
        "odd content",
        "a type nobody knows whose owner is no text",
        sent("NewContract", owner_address={"is": 5}, amount="many"),
        PLAIN,
        [],
    ),
    Case(
        "two contracts",
        "transactions have one contract; one with two is not understood",
        {"ret": trx()["ret"], "raw_data": {"contract": 2 * trx()["raw_data"]["contract"]}},
        PLAIN,
        [],
    ),
    Case("no contract", "nothing is asked for", {**trx(), "raw_data": {}}, PLAIN, []),
    Case(
        "receipt of another block",
        "time or height of the receipt is not the block's",
        trx(),
        {**PLAIN, "blockTimeStamp": 1},
        WAIT,
    ),
    Case(
        "receipt of another transaction",
        "the transaction's own receipt is missing",
        trx(),
        {**PLAIN, "id": "e" * 64},
        WAIT,
    ),
    Case(
        "changed data",
        "the id is not the hash of the data",
        {**trx(), "txID": "e" * 64},
        PLAIN,
        WAIT,
    ),
]
