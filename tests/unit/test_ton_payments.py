"""Building and signing: against messages that another implementation made."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pytoniq_core import Cell

from chain_adapters.ton import cells, pay, wallet
from chain_adapters.ton.constants import COMMIT_S, EXPIRY_S, JETTON_ATTACHED_MINOR, WALLET_ID
from chain_adapters.ton.decode import is_own_call
from chain_adapters.ton.marks import is_marked, mark
from chain_adapters.ton.pay import Body, Terms
from chain_adapters.ton.sending import Slot, is_refusal, read_slot
from chain_adapters.ton.wire import Content, Message
from chain_adapters.types import Payment, PaymentRefused, Quote, UnsignedTransaction
from tests.support.ton_vectors import HASH, load_json

KEY = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
SENDER = wallet.wallet_address(PUBLIC, WALLET_ID)
RECIPIENT, JETTON_WALLET, MASTER = (f"0:{digit * 64}" for digit in "123")
NOW = 1_800_000_000


def published() -> list[dict[str, str]]:
    """Those made with our send mode: the value next to each name in the source's test."""
    found = []
    for vector in load_json("walletcore_ton_wallet_v4r2_external_messages"):
        values = {literal["near"]: literal["value"] for literal in vector["literals"]}
        encoded = next((v for k, v in values.items() if "encoded" in k), None)
        if encoded is not None and "all_balance" not in vector["test"]:
            found.append({"test": vector["test"], "encoded": encoded, **values})
    return found


def address_of(slice_: Any) -> str:  # noqa: ANN401 - a slice of an untyped library
    address = slice_.load_address()
    return f"{address.wc}:{address.hash_part.hex()}"


@pytest.mark.parametrize("vector", published(), ids=lambda v: v["test"])
def test_published_messages_are_signed_to_the_byte(vector: dict[str, str]) -> None:
    theirs = Cell.one_from_boc(vector["encoded"])
    outer = theirs.begin_parse()
    outer.load_uint(4)
    sender = address_of(outer)
    order = theirs.refs[-1].begin_parse()
    order.load_bytes(64)
    number, expires, seqno = (order.load_uint(32) for _ in range(3))
    sent = theirs.refs[-1].refs[0]
    flags, *_ = parts = read_internal(sent)
    message = wallet.internal_message(*parts[1:3], sent.refs[0], bounce=bool(flags & 8))
    assert message.hash == sent.hash

    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["private_key"]))
    public = key.public_key().public_bytes_raw()
    body = Body(public, number, seqno, expires, len(theirs.refs) > 1, message.to_boc())
    payment = Payment(sender, parts[1], None, parts[2])
    payload = body.order().hash
    unsigned = UnsignedTransaction(payment, seqno, 1, (payload,), msgspec.json.encode(body))
    signed = pay.assemble(unsigned, (key.sign(payload),))
    assert Cell.one_from_boc(signed.raw).hash == theirs.hash
    if not body.deploy:  # then it is in the normal form itself
        assert signed.transaction_id == vector["output.hash.to_hex()"]
    assert read_slot(signed.raw) == Slot(sender, seqno)


def read_internal(cell: Cell) -> tuple[int, str, int]:
    reader = cell.begin_parse()
    flags = reader.load_uint(6)
    return flags, address_of(reader), reader.load_coins()


def test_comments_are_the_published_ones() -> None:
    (vector,) = [v for v in published() if "utf8" in v["test"]]
    sent = Cell.one_from_boc(vector["encoded"]).refs[-1].refs[0]
    assert wallet.comment_cell(vector["comment:"]).hash == sent.refs[0].hash


@pytest.mark.parametrize("text", ["1", "a" * 123, "a" * 124, "é" * 256, "x" * 500])
def test_comments_are_read_as_they_are_written(text: str) -> None:
    encoded = base64.b64encode(wallet.comment_cell(text).to_boc()).decode()
    assert cells.read_memo(encoded) == f"text:{text}"


def quote(*, jetton: bool = False, deploy: bool = False, bounce: bool = False) -> Quote:
    held = JETTON_WALLET if jetton else None
    terms = Terms(PUBLIC, WALLET_ID, NOW, deploy, bounce, held, 10_000_000)
    return Quote(terms.fee_minor_max, 0, msgspec.json.encode(terms), 10**12, 10**12)


def build(
    quoted: Quote | None = None,
    *,
    nonce: int | None = 5,
    replaces: UnsignedTransaction | None = None,
    fee_minor_cap: int = 10**9,
    memo: str | None = None,
) -> UnsignedTransaction:
    quoted = quoted or quote()
    jetton = b'"jetton_wallet":null' not in quoted.parameters
    payment = Payment(SENDER, RECIPIENT, MASTER if jetton else None, 77, memo)
    return pay.build(payment, quoted, nonce, replaces, fee_minor_cap=fee_minor_cap)


def message_in(unsigned: UnsignedTransaction) -> Cell:
    return Cell.one_from_boc(msgspec.json.decode(unsigned.body, type=Body).message)


def test_a_payment_expires_with_the_chains_own_clock() -> None:
    unsigned = build()
    assert unsigned.valid_until == NOW + EXPIRY_S + COMMIT_S
    assert unsigned == build()


def test_a_replacement_is_another_message_in_the_same_slot() -> None:
    first = build()
    second = build(replaces=first)
    assert second.nonce == first.nonce
    assert (second.valid_until or 0) > (first.valid_until or 0)
    assert second.signing_payloads != first.signing_payloads


def test_arguments_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="sequence number"):
        build(nonce=None)
    with pytest.raises(ValueError, match="the sender and the nonce"):
        build(nonce=6, replaces=build())
    with pytest.raises(PaymentRefused) as refused:
        build(fee_minor_cap=1)
    assert refused.value.reason == "fee_above_cap"


@pytest.mark.parametrize("bounce", [True, False])
def test_only_to_deployed_accounts_messages_are_sent_that_can_bounce(bounce: bool) -> None:
    flags, recipient, amount = read_internal(message_in(build(quote(bounce=bounce))))
    assert (bool(flags & 8), recipient, amount) == (bounce, RECIPIENT, 77)


def test_a_jetton_payment_goes_to_the_senders_jetton_wallet() -> None:
    unsigned = build(quote(jetton=True), memo="text:order 5")
    flags, recipient, attached = read_internal(message_in(unsigned))
    assert (flags & 8, recipient, attached) == (8, JETTON_WALLET, JETTON_ATTACHED_MINOR)
    transfer = message_in(unsigned).refs[0].begin_parse()
    assert transfer.load_uint(32) == 0x0F8A7EA5
    assert is_marked(SENDER, transfer.load_uint(64))
    assert transfer.load_coins() == 77
    assert (address_of(transfer), address_of(transfer)) == (RECIPIENT, SENDER)
    assert (transfer.load_bit(), transfer.load_coins(), transfer.load_bit()) == (0, 1, 1)
    assert transfer.load_ref().hash == wallet.comment_cell("order 5").hash


def test_own_jetton_payments_are_known_by_their_query_id() -> None:
    def sent(query_id: int) -> Message:
        payment = Payment(SENDER, RECIPIENT, MASTER, 77)
        encoded = base64.b64encode(pay.jetton_transfer(payment, query_id).to_boc()).decode()
        return Message(HASH, opcode="0x0f8a7ea5", message_content=Content(encoded))

    assert is_own_call(SENDER, sent(mark(SENDER, NOW)))
    assert not is_own_call(RECIPIENT, sent(mark(SENDER, NOW)))
    assert not is_own_call(SENDER, sent(mark(SENDER, NOW) ^ 1))
    assert not is_own_call(SENDER, sent(0))


def test_only_the_senders_signature_is_taken() -> None:
    unsigned = build(quote(deploy=True))
    (payload,) = unsigned.signing_payloads
    good = KEY.sign(payload)
    assert pay.assemble(unsigned, (good,)) == pay.assemble(unsigned, (good,))
    stranger = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32).sign(payload)
    for signatures in [(), (good, good), (stranger,), (good[:-1],), (good + b"\0",), (b"",)]:
        with pytest.raises(ValueError, match="signature"):
            pay.assemble(unsigned, signatures)


def test_a_wallet_that_is_not_the_keys_is_not_signed_for() -> None:
    unsigned = build()
    (payload,) = unsigned.signing_payloads
    other = msgspec.structs.replace(unsigned.payment, sender=RECIPIENT)
    with pytest.raises(ValueError, match="signature's key"):
        pay.assemble(msgspec.structs.replace(unsigned, payment=other), (KEY.sign(payload),))


def test_the_id_does_not_depend_on_whether_the_wallet_is_deployed_along() -> None:
    ids = set()
    for deploy in (True, False):
        unsigned = build(quote(deploy=deploy))
        signature = KEY.sign(unsigned.signing_payloads[0])
        ids.add(pay.assemble(unsigned, (signature,)).transaction_id)
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("words", "certain"),
    [
        ("External message was not accepted : exitcode=36, steps=22", True),
        ("External message was not accepted : exitcode=35, steps=22", True),
        ("External message was not accepted : exitcode=33, steps=22", False),
        ("terminating vm with exit code 33", False),
        ("cannot apply external message to current state : Failed to unpack account state", True),
        ("LITE_SERVER_NETWORK: timeout", False),
        ("HTTP status 500", False),
        ("", False),
    ],
)
def test_only_words_that_are_certain_are_a_refusal(words: str, certain: bool) -> None:
    assert is_refusal(words) is certain
