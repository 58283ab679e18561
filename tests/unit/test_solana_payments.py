"""Payments on Solana: the bytes, and what is refused before money moves."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from solders.hash import Hash
from solders.message import Message
from solders.pubkey import Pubkey

from chain_adapters.solana import pay
from chain_adapters.solana.pay import Plan
from chain_adapters.types import (
    Payment,
    UnsignedTransaction,
)
from devstack.chains.solana_shapes import encode_base58
from tests.support.solana_vectors import load

RENT = 890_880
ACCOUNT_RENT = 2_039_280
FUNDS = 10**10
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


@pytest.mark.parametrize("test", ["test_solana_sign_transfer"])
def test_a_transfer_of_sol_has_the_bytes_of_another_implementation(test: str) -> None:
    vector = VECTORS[test]
    key, expected = key_of(vector), decode_base58(vector["output.encoded"])
    sent = Message.from_bytes(expected[65:])
    amount = int.from_bytes(bytes(sent.instructions[0].data)[4:], "little")
    payment = Payment(sender_of(key), vector["recipient"], None, amount)
    plan = Plan(vector["recent_blockhash"], 0, 0, 0, b"")
    message = Message.new_with_blockhash(
        pay.moves(payment, plan),
        Pubkey.from_string(payment.sender),
        Hash.from_string(plan.blockhash),
    )
    assert sign_message(key, payment, bytes(message)) == expected
