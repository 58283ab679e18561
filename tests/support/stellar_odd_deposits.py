"""Crafted transactions that pay, or seem to pay, an address of ours on Stellar, and what is read.

The listing for people is docs/odd_deposits/stellar.md.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from tests.support.stellar_vectors import (
    IN_USD,
    ISSUER,
    OTHER,
    RECIPIENT,
    SENDER,
    USD,
    Json,
    effect,
    hash_of,
    muxed,
    operation,
)

WAIT = None
"""Outcome: the block is not read; it is asked for again."""
XLM = 10**7
CONTRACT = "C" + "A" * 55
FAKE_USD: Json = {**IN_USD, "asset_issuer": OTHER}
OUR_USD: Json = {**IN_USD, "asset_issuer": RECIPIENT}

Expected = tuple[str, str | None, int, str | None]
"""Index, asset, amount and memo of a credit to RECIPIENT."""


class Case(NamedTuple):
    name: str
    what: str
    expected: list[Expected] | None
    operations: Sequence[Json] = (operation(),)
    effects: Sequence[Json] = ()
    changes: Mapping[str, object] = MappingProxyType({})


def path(kind: str = "strict_send", **changes: object) -> Json:
    """A path payment of 9 USD that arrives as 1.5 XLM."""
    usual = {
        "type": f"path_payment_{kind}",
        "source_amount": "9.0000000",
        "source_asset_type": "credit_alphanum4",
        "source_asset_code": "USD",
        "source_asset_issuer": ISSUER,
    }
    return operation(1, 1, **{**usual, **changes})


def plain(kind: str, **changes: object) -> Json:
    """An operation without a payment's fields."""
    found = {k: v for k, v in operation().items() if k not in {"from", "to", "amount"}}
    return {**found, "type": kind, "asset_type": None, **changes}


def call(*changes: Json) -> Json:
    return plain("invoke_host_function", asset_balance_changes=list(changes))


def change(kind: str = "transfer", **fields: object) -> Json:
    usual = {"type": kind, "from": SENDER, "to": RECIPIENT, "amount": "3.0000000", **IN_USD}
    return {**usual, **fields}


def text(content: bytes) -> Json:
    shown = content.decode(errors="replace")
    encoded = b64encode(content).decode()
    return {"memo_type": "text", "memo": shown, "memo_bytes": encoded}


MERGE = plain("account_merge", account=SENDER, into=RECIPIENT)
CLAIM = plain("claim_claimable_balance")
CLAIMED = effect(type="claimable_balance_claimed", asset="native")
CREDITED = effect(order=2)
PAID: list[Expected] = [("op:0", None, 15_000_000, None)]


def memo(canonical: str | None) -> list[Expected]:
    return [("op:0", None, 15_000_000, canonical)]


CASES = [
    Case("payment", "the usual payment", PAID),
    Case(
        "payment of an asset",
        "an asset is code and issuer",
        [("op:0", USD, 15_000_000, None)],
        [operation(**IN_USD)],
    ),
    Case(
        "same code, another issuer",
        "anybody can issue a USD: it is another asset",
        [("op:0", f"USD:{OTHER}", 15_000_000, None)],
        [operation(**FAKE_USD)],
    ),
    Case(
        "code of another case",
        "usd is not USD",
        [("op:0", f"usd:{ISSUER}", 15_000_000, None)],
        [operation(**{**IN_USD, "asset_code": "usd"})],
    ),
    Case(
        "an asset called XLM",
        "only the native asset is lumens, whatever an asset is called",
        [("op:0", f"XLM:{ISSUER}", 15_000_000, None)],
        [operation(**{**IN_USD, "asset_code": "XLM"})],
    ),
    Case(
        "failed transaction",
        "it is in a ledger and costs its fee, and nothing else happened",
        [],
        [],
        (),
        {"successful": False},
    ),
    Case(
        "operations of a failed transaction",
        "a server that shows them is not believed",
        WAIT,
        [operation()],
        (),
        {"successful": False},
    ),
    Case(
        "two payments",
        "two operations are two deposits",
        [("op:0", None, 15_000_000, "id:7"), ("op:1", None, 15_000_000, "id:7")],
        [operation(), operation(number=2)],
        (),
        {"memo_type": "id", "memo": "7"},
    ),
    Case(
        "payment behind other operations",
        "the index is the operation's place",
        [("op:2", None, 15_000_000, None)],
        [plain("change_trust"), plain("manage_data"), operation(number=3)],
    ),
    Case(
        "an operation of another transaction",
        "the pages do not belong together",
        WAIT,
        [operation(transaction_hash=hash_of(9))],
    ),
    Case(
        "an operation that failed",
        "its transaction is said to have succeeded",
        WAIT,
        [operation(transaction_successful=False)],
    ),
    Case("no memo", "the pooled address is credited without one: suspense decides", memo(None)),
    Case("memo id", "memos are typed", memo("id:1"), changes={"memo_type": "id", "memo": "1"}),
    Case("memo text of digits", "text 1 is not id 1", memo("text:1"), changes=text(b"1")),
    Case("memo text like an id", "it stays a text", memo("text:id:1"), changes=text(b"id:1")),
    Case("memo text empty", "a text of nothing", memo("text:"), changes=text(b"")),
    Case(
        "memo text with zero byte",
        "no database takes it as text: told as bytes",
        memo("bytes:310032"),
        changes=text(b"1\x002"),
    ),
    Case(
        "memo text not UTF-8",
        "told as bytes, so that two of them are never the same text",
        memo("bytes:ff31"),
        changes=text(b"\xff1"),
    ),
    Case(
        "memo hash",
        "base64 there, hex here",
        memo("hash:" + "ab" * 32),
        changes={"memo_type": "hash", "memo": b64encode(b"\xab" * 32).decode()},
    ),
    Case(
        "memo return",
        "the hash of a payment that is sent back",
        memo("return:" + "ab" * 32),
        changes={"memo_type": "return", "memo": b64encode(b"\xab" * 32).decode()},
    ),
    Case(
        "memo of a wrong form",
        "an id that is no number",
        WAIT,
        changes={"memo_type": "id", "memo": "x"},
    ),
    Case(
        "memo and its bytes differ",
        "a server that contradicts itself",
        WAIT,
        changes={"memo_type": "text", "memo": "a", "memo_bytes": b64encode(b"b").decode()},
    ),
    Case(
        "muxed recipient",
        "the number routes like a memo id",
        memo("id:77"),
        [operation(to_muxed=muxed("b", 77), to_muxed_id="77")],
    ),
    Case(
        "muxed recipient and memo",
        "the muxed number wins",
        memo("id:77"),
        [operation(to_muxed=muxed("b", 77), to_muxed_id="77")],
        (),
        {"memo_type": "id", "memo": "1"},
    ),
    Case(
        "muxed sender",
        "the sender's own number routes nothing",
        memo(None),
        [operation(from_muxed=muxed("a", 5), from_muxed_id="5")],
        (),
        {"account_muxed_id": "5"},
    ),
    Case(
        "path payment, strict send",
        "what arrived counts, not what was sent",
        [("op:0", None, 15_000_000, None)],
        [path()],
    ),
    Case(
        "path payment, strict receive",
        "what arrived counts, not what was sent",
        [("op:0", None, 15_000_000, None)],
        [path("strict_receive", source_max="99.0000000")],
    ),
    Case(
        "new account",
        "the starting balance is a deposit",
        [("op:0", None, 4 * XLM, None)],
        [plain("create_account", account=RECIPIENT, funder=SENDER, starting_balance="4.0000000")],
    ),
    Case(
        "merged account",
        "all lumens of an account that goes away",
        [("op:0", None, 2 * XLM, None)],
        [MERGE],
        [effect(type="account_debited", account=SENDER), CREDITED],
    ),
    Case(
        "merged account without its effects",
        "the amount is told nowhere else",
        WAIT,
        [MERGE],
        [],
    ),
    Case(
        "merged account, another credited",
        "the effects are another operation's",
        WAIT,
        [MERGE],
        [effect(account=OTHER)],
    ),
    Case(
        "claimable balance set aside",
        "nothing arrived yet, and it may be taken back",
        [],
        [plain("create_claimable_balance", amount="1.0000000")],
    ),
    Case(
        "claimable balance claimed",
        "now it arrived",
        [("op:0", None, 2 * XLM, None)],
        [CLAIM],
        [CLAIMED, CREDITED],
    ),
    Case(
        "transfer by an asset's contract",
        "credited like a payment",
        [("op:0", USD, 3 * XLM, None)],
        [call(change())],
    ),
    Case(
        "two transfers in one contract call",
        "two deposits",
        [("op:0", USD, 3 * XLM, None), ("op:0:1", USD, 5 * XLM, None)],
        [call(change(), change(amount="5.0000000"))],
    ),
    Case(
        "contract transfer to a muxed account",
        "the number routes (CAP-67)",
        [("op:0", USD, 3 * XLM, "id:9")],
        [call(change(destination_muxed_id="9", destination_muxed_id_type="uint64"))],
    ),
    Case(
        "contract transfer from a contract",
        "who the sender is does not matter",
        [("op:0", USD, 3 * XLM, None)],
        [call(change(**{"from": CONTRACT}))],
    ),
    Case("contract transfer to a contract", "no account of ours", [], [call(change(to=CONTRACT))]),
    Case(
        "minted by a contract",
        "comes from the issuer",
        [("op:0", USD, 3 * XLM, None)],
        [call(change("mint", **{"from": None}))],
    ),
    Case(
        "transfer of nothing by a contract",
        "no deposit",
        [],
        [call(change(amount="0.0000000"))],
    ),
    Case(
        "contract call without transfers", "tokens of other contracts are no assets", [], [call()]
    ),
    Case(
        "trade",
        "an offer that is filled is no deposit",
        [],
        [plain("manage_sell_offer", amount="5.0000000", offer_id="0")],
    ),
    Case(
        "operation of the future",
        "a type that nobody knows yet hides no other operation",
        [("op:1", None, 15_000_000, None)],
        [plain("teleport", to=RECIPIENT, amount="5.0000000"), operation(number=2)],
    ),
    Case(
        "pool shares",
        "no payment can move them",
        WAIT,
        [operation(asset_type="liquidity_pool_shares")],
    ),
    Case(
        "asset without issuer",
        "a missing field never makes lumens of an asset",
        WAIT,
        [operation(**{**IN_USD, "asset_issuer": None})],
    ),
    Case(
        "native with an issuer",
        "a contradiction",
        WAIT,
        [operation(**{**IN_USD, "asset_type": "native"})],
    ),
    Case(
        "issued to us",
        "what an issuer pays is new, and as good as any",
        [("op:0", USD, 15_000_000, None)],
        [operation(**{**IN_USD, "from": ISSUER})],
    ),
    Case(
        "payment to the issuer",
        "what an issuer gets of its own asset is destroyed, even where it is an address of ours",
        [],
        [operation(**OUR_USD)],
    ),
    Case("path payment to the issuer", "the same", [], [path(**OUR_USD)]),
    Case("contract transfer to the issuer", "the same", [], [call(change(**OUR_USD))]),
    Case(
        "claim by the issuer",
        "the same",
        [],
        [CLAIM],
        [CLAIMED, effect(order=2, **OUR_USD)],
    ),
    Case(
        "clawback",
        "what an issuer takes back is destroyed, even where it is an address of ours",
        [],
        [operation(type="clawback", to=None, **OUR_USD)],
    ),
    Case("clawback by a contract", "the same", [], [call(change("clawback", to=None, **OUR_USD))]),
    Case(
        "old inflation",
        "winners of the former inflation",
        [("op:0:1", None, 2 * XLM, None)],
        [plain("inflation")],
        [effect(account=OTHER), CREDITED],
    ),
]
