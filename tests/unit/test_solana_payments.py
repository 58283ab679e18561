"""Payments on Solana: the same bytes as others make, and nothing but what was asked for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey

from chain_adapters.solana import pay
from chain_adapters.solana.pay import Plan, Source, TokenPlan
from chain_adapters.solana.programs import EXPIRY_MARGIN_BLOCKS, TOKEN_PROGRAM
from chain_adapters.solana.tokens import associated_account
from chain_adapters.types import Payment, PaymentRefused, Quote, UnsignedTransaction
from devstack.chains.solana_shapes import encode_base58
from tests.support.solana_vectors import load

VECTORS = {vector["test"]: vector for vector in load("signed_transactions")}


def decode_base58(text: str) -> bytes:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number = 0
    for digit in text:
        number = number * 58 + alphabet.index(digit)
    body = number.to_bytes((number.bit_length() + 7) // 8)
    return bytes(len(text) - len(text.lstrip("1"))) + body


def key_of(vector: dict[str, str]) -> Ed25519PrivateKey:
    raw = vector.get("private_key")
    secret = bytes.fromhex(raw) if raw else decode_base58(vector["b58"])
    return Ed25519PrivateKey.from_private_bytes(secret)


def sender_of(key: Ed25519PrivateKey) -> str:
    return encode_base58(key.public_key().public_bytes_raw())


def sign_message(key: Ed25519PrivateKey, payment: Payment, message: bytes) -> bytes:
    unsigned = UnsignedTransaction(payment, None, 0, (message,), message)
    return pay.assemble(unsigned, (key.sign(message),)).raw


def message_of(vector: dict[str, str], instructions: list[Instruction]) -> bytes:
    payer = Pubkey.from_string(sender_of(key_of(vector)))
    blockhash = Hash.from_string(vector["recent_blockhash"])
    return bytes(Message.new_with_blockhash(instructions, payer, blockhash))


def spell_out(raw: bytes) -> object:
    """Return all that a message says, whatever the order in which it lists its accounts."""
    message = Message.from_bytes(raw)
    keys = message.account_keys
    return (
        message.recent_blockhash,
        message.header,
        [
            (
                keys[instruction.program_id_index],
                bytes(instruction.data),
                [(keys[n], message.is_signer(n)) for n in instruction.accounts],
            )
            for instruction in message.instructions
        ],
    )


def test_a_transfer_of_sol_has_the_bytes_of_another_implementation() -> None:
    vector = VECTORS["test_solana_sign_transfer"]
    key = key_of(vector)
    payment = Payment(sender_of(key), vector["recipient"], None, 42)
    plan = Plan(vector["recent_blockhash"], 0, 0, 0, b"")
    message = message_of(vector, pay.moves(payment, plan))
    assert message == decode_base58(vector["output.unsigned_tx"])
    assert sign_message(key, payment, message) == decode_base58(vector["output.encoded"])


@pytest.mark.parametrize("test", ["", "_2pmvzp"])
def test_a_transfer_of_a_token_says_what_another_implementation_says(test: str) -> None:
    vector = VECTORS["test_solana_sign_token_transfer" + test]
    key, mint = key_of(vector), vector["token_mint_address"]
    usual = associated_account(sender_of(key), mint, TOKEN_PROGRAM)
    assert usual == vector["sender_token_address"]
    source = Source(usual, int(vector["amount"]))
    target = Pubkey.from_string(vector["recipient_token_address"])
    plan = TokenPlan(TOKEN_PROGRAM, 6, (source,), makes_account=False)
    sender = Pubkey.from_string(sender_of(key))
    taken = pay.take(source, target, sender, Pubkey.from_string(mint), plan)
    message = message_of(vector, [taken])
    assert spell_out(message) == spell_out(decode_base58(vector["output.encoded"])[65:])


def quote_of(fee_minor: int = 5016) -> Quote:
    plan = Plan("1" * 32, 1000, 1540, 10_000, b"seed")
    return Quote(fee_minor, None, msgspec.json.encode(plan), 0, 0)


ALICE, BOB = str(Keypair().pubkey()), str(Keypair().pubkey())
PAYMENT = Payment(ALICE, BOB, None, 5)


def build(
    payment: Payment = PAYMENT, quote: Quote | None = None, **more: object
) -> UnsignedTransaction:
    arguments: dict[str, Any] = {"nonce": None, "replaces": None, "fee_minor_cap": 10**7, **more}
    return pay.build(payment, quote or quote_of(), **arguments)


def test_a_transaction_expires_a_margin_after_its_blockhash() -> None:
    assert build().valid_until == 1000 + EXPIRY_MARGIN_BLOCKS


def test_the_same_arguments_make_the_same_bytes_and_a_replacement_others() -> None:
    first = build()
    assert build() == first
    second = build(replaces=first)
    third = build(replaces=second)
    assert len({version.body for version in (first, second, third)}) == 3


def test_arguments_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="no nonce"):
        build(nonce=1)
    with pytest.raises(ValueError, match="the sender"):
        build(replaces=build(Payment(BOB, ALICE, None, 5)))
    with pytest.raises(PaymentRefused) as refused:
        build(quote=quote_of(10**7 + 1))
    assert refused.value.reason == "fee_above_cap"


@pytest.mark.parametrize("signatures", [(), (b"",), (bytes(63),), (bytes(64),), (bytes(64),) * 2])
def test_what_is_no_signature_is_refused(signatures: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="signature"):
        pay.assemble(build(), signatures)
