"""Building and signing Solana transactions. Pure: nothing here asks a node.

Transactions are of the legacy form, which every wallet, node and signer reads. Equal payments of
one sender from one blockhash would be the same bytes and so the same transaction: each carries a
reference, an unused address that names it (Solana Pay, "reference"), which costs nothing.
"""

from __future__ import annotations

import hashlib

import msgspec
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction
from spl.token.instructions import create_idempotent_associated_token_account, transfer_checked
from spl.token.models import TransferCheckedParams

from chain_adapters.solana.programs import EXPIRY_MARGIN_BLOCKS, TOKEN_PROGRAMS
from chain_adapters.solana.tokens import associated_account
from chain_adapters.types import (
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    UnsignedTransaction,
)


class Source(msgspec.Struct, frozen=True):
    """A token account of the sender's, and how much is taken from it."""

    account: str
    amount_minor: int


class TokenPlan(msgspec.Struct, frozen=True):
    """How a token is moved; `makes_account`: the recipient's account is made first."""

    program: str
    decimals: int
    sources: tuple[Source, ...]
    makes_account: bool


class Plan(msgspec.Struct, frozen=True):
    """What a transaction needs to know of the chain. The adapter's own part of a Quote.

    `unit_limit` is in compute units, `unit_price` in micro-lamports for one. `seed` tells this
    payment from others that are equal to it.
    """

    blockhash: str
    last_height: int
    unit_limit: int
    unit_price: int
    seed: bytes
    token: TokenPlan | None = None


def compose(payment: Payment, plan: Plan, reference: bytes) -> Message:
    """Return the message that makes a payment; its first signer, the sender, pays for all."""
    sender = Pubkey.from_string(payment.sender)
    instructions = [
        set_compute_unit_limit(plan.unit_limit),
        set_compute_unit_price(plan.unit_price),
        *moves(payment, plan),
    ]
    instructions[-1] = mark(instructions[-1], reference)
    return Message.new_with_blockhash(instructions, sender, Hash.from_string(plan.blockhash))


def moves(payment: Payment, plan: Plan) -> list[Instruction]:
    """Return the instructions that move the money."""
    sender, recipient = Pubkey.from_string(payment.sender), Pubkey.from_string(payment.recipient)
    if payment.contract is None or plan.token is None:
        params = TransferParams(
            from_pubkey=sender, to_pubkey=recipient, lamports=payment.amount_minor
        )
        return [transfer(params)]
    return token_moves(sender, recipient, payment.contract, plan.token)


def token_moves(
    sender: Pubkey, recipient: Pubkey, contract: str, token: TokenPlan
) -> list[Instruction]:
    """Return the instructions that move a token, into the recipient's associated account."""
    program, mint = TOKEN_PROGRAMS[token.program], Pubkey.from_string(contract)
    target = Pubkey.from_string(associated_account(str(recipient), contract, token.program))
    transfers = [take(source, target, sender, mint, token) for source in token.sources]
    if not token.makes_account:
        return transfers
    made = create_idempotent_associated_token_account(sender, recipient, mint, program)
    return [made, *transfers]


def take(
    source: Source, target: Pubkey, sender: Pubkey, mint: Pubkey, token: TokenPlan
) -> Instruction:
    """Return the transfer out of one token account; the program checks mint and decimals."""
    return transfer_checked(
        TransferCheckedParams(
            program_id=TOKEN_PROGRAMS[token.program],
            source=Pubkey.from_string(source.account),
            mint=mint,
            dest=target,
            owner=sender,
            amount=source.amount_minor,
            decimals=token.decimals,
        )
    )


def mark(instruction: Instruction, reference: bytes) -> Instruction:
    """Return an instruction that names the reference too; the programs look past it."""
    named = AccountMeta(Pubkey.from_bytes(reference), is_signer=False, is_writable=False)
    return Instruction(
        instruction.program_id, bytes(instruction.data), [*instruction.accounts, named]
    )


def make_reference(payment: Payment, seed: bytes, replaced: bytes) -> bytes:
    """Return the reference of a payment: another one for each quote and each replacement."""
    return hashlib.sha256(seed + msgspec.json.encode(payment) + replaced).digest()


def build(
    payment: Payment,
    quote: Quote,
    nonce: int | None,
    replaces: UnsignedTransaction | None,
    *,
    fee_minor_cap: int,
) -> UnsignedTransaction:
    """Build the transaction. ValueError with a nonce, or if `replaces` is another sender's.

    PaymentRefused("fee_above_cap") if it could cost more than `fee_minor_cap`.
    """
    if nonce is not None:
        raise ValueError("a Solana transaction has no nonce")
    if replaces is not None and replaces.payment.sender != payment.sender:
        raise ValueError("a replacement has the sender of what it replaces")
    if quote.fee_minor_max > fee_minor_cap:
        raise PaymentRefused(
            "fee_above_cap", f"it would cost {quote.fee_minor_max} lamports, over {fee_minor_cap}"
        )
    plan = msgspec.json.decode(quote.parameters, type=Plan)
    reference = make_reference(payment, plan.seed, b"" if replaces is None else replaces.body)
    message = bytes(compose(payment, plan, reference))
    return UnsignedTransaction(
        payment=payment,
        nonce=None,
        fee_minor_max=quote.fee_minor_max,
        signing_payloads=(message,),
        body=message,
        valid_until=plan.last_height + EXPIRY_MARGIN_BLOCKS,
    )


def assemble(unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]) -> SignedTransaction:
    """Put the signature in. ValueError unless it is the sender's over this transaction."""
    if len(signatures) != 1 or len(signatures[0]) != Signature.LENGTH:
        raise ValueError("a Solana payment has one signature of 64 bytes")
    signature = Signature.from_bytes(signatures[0])
    if not signature.verify(Pubkey.from_string(unsigned.payment.sender), unsigned.body):
        raise ValueError("the signature is not the sender's")
    message = Message.from_bytes(unsigned.body)
    return SignedTransaction(str(signature), bytes(Transaction.populate(message, [signature])))
