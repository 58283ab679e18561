"""Asking a node what a payment would cost, and whether it could succeed at all."""

from __future__ import annotations

import asyncio
import base64

import msgspec

from chain_adapters.rpc import Endpoint
from chain_adapters.ton import pay, wallet
from chain_adapters.ton.asking import (
    OK,
    fetch_accounts,
    get,
    read_answer,
    read_number,
    run_method,
)
from chain_adapters.ton.constants import (
    AMOUNT_LIMIT,
    DEPLOY_FEE_MINOR_MIN,
    EXPIRY_S,
    FEE_MINOR_DEFAULT,
    FEE_MINOR_MIN,
    JETTON_ATTACHED_MINOR,
)
from chain_adapters.ton.keys import Owners
from chain_adapters.ton.tokens import Tokens
from chain_adapters.ton.wire import AccountState, FeeEstimate, MasterchainInfo
from chain_adapters.types import NodeUnavailable, Payment, PaymentRefused, Quote

_DEPLOYED = "active"
_NO_SIGNATURE = bytes(64)
JETTON_METHODS = {"get_wallet_data": 4, "get_jetton_data": 5}
"""What jetton wallets and masters are asked by, and how much they answer (TEP-74)."""


async def quote(
    endpoint: Endpoint, payment: Payment, owners: Owners, tokens: Tokens, fee_minor_cap: int
) -> Quote:
    """Quote a payment at one endpoint.

    PaymentRefused reasons: sender_lacks_funds, fee_above_cap, wallet_frozen and recipient_frozen
    (an account in debt for storage), recipient_is_jetton, sender_unknown (see keys),
    amount_too_large and amount_too_small (amounts are 1 to 2^120 - 1).
    """
    check_amount(payment.amount_minor)
    accounts = await fetch_accounts(endpoint, [payment.sender, payment.recipient])
    sender, recipient = accounts[payment.sender], accounts[payment.recipient]
    check_states(sender, recipient)
    if recipient.status == _DEPLOYED:
        await refuse_jettons(endpoint, payment.recipient)
    deployed = sender.status == _DEPLOYED
    balance_minor = int(sender.balance or 0)
    held_minor, jetton_wallet, needed_minor = balance_minor, None, payment.amount_minor
    if payment.contract is not None:
        jetton_wallet = await tokens.wallet_of(endpoint, payment.contract, payment.sender)
        held_minor = await fetch_jettons(endpoint, jetton_wallet)
        needed_minor = 0
    if held_minor < payment.amount_minor:
        raise PaymentRefused("sender_lacks_funds", "the sender holds less than the amount")
    owner = await owners.of(endpoint, payment.sender, deployed=deployed)
    seqno = await fetch_seqno(endpoint, payment.sender) if deployed else 0
    info = await get(endpoint, "masterchainInfo", {}, MasterchainInfo)
    terms = pay.Terms(
        public_key=owner.public_key,
        number=owner.number,
        time=int(info.last.gen_utime),
        deploy=not deployed,
        bounce=recipient.status == _DEPLOYED,
        jetton_wallet=jetton_wallet,
        fee_minor_max=0,
    )
    fee_minor = await bound_fee(endpoint, payment, terms, seqno)
    if fee_minor > fee_minor_cap:
        raise PaymentRefused(
            "fee_above_cap", f"the fee could reach {fee_minor} nanotons, over {fee_minor_cap}"
        )
    if balance_minor < needed_minor + fee_minor:
        raise PaymentRefused("sender_lacks_funds", "the sender cannot pay the fee")
    terms = msgspec.structs.replace(terms, fee_minor_max=fee_minor)
    parameters = msgspec.json.encode(terms)
    return Quote(fee_minor, seqno, parameters, held_minor, balance_minor, first_nonce=0)


def check_amount(amount_minor: int) -> None:
    """Refuse an amount that does not fit."""
    if amount_minor >= AMOUNT_LIMIT:
        raise PaymentRefused("amount_too_large", "the amount does not fit into 120 bits")
    if amount_minor <= 0:
        raise PaymentRefused("amount_too_small", "nothing is not paid")


def check_states(sender: AccountState, recipient: AccountState) -> None:
    """Refuse what a frozen account would send, or could not take."""
    if sender.status == "frozen":
        raise PaymentRefused("wallet_frozen", "the sender's account is frozen: it owes storage")
    if recipient.status == "frozen":
        raise PaymentRefused("recipient_frozen", "the recipient's account is frozen")


async def refuse_jettons(endpoint: Endpoint, recipient: str) -> None:
    """Refuse a jetton wallet or master as recipient: its owner is meant.

    Explorers show the address of either beside the owner's. They keep what is sent to them, native
    money too, and jettons sent to one are of an owner that can give no orders.
    """
    answers = await asyncio.gather(*(run_method(endpoint, recipient, m) for m in JETTON_METHODS))
    for answer, length in zip(answers, JETTON_METHODS.values(), strict=True):
        if answer.exit_code in OK and len(answer.stack) >= length:
            raise PaymentRefused("recipient_is_jetton", "pay to the owner of the jettons instead")


async def fetch_seqno(endpoint: Endpoint, address: str) -> int:
    """Return the sequence number of a deployed wallet's next transaction."""
    answer = await run_method(endpoint, address, "seqno")
    if answer.exit_code not in OK or not answer.stack:
        raise NodeUnavailable("the sender's wallet does not tell its sequence number")
    seqno = read_number(answer.stack[0])
    if not 0 <= seqno < 2**32:
        raise NodeUnavailable("no wallet has such a sequence number")
    return seqno


async def fetch_jettons(endpoint: Endpoint, jetton_wallet: str) -> int:
    """Return what a jetton wallet holds in its latest state; one that is not there holds 0."""
    answer = await run_method(endpoint, jetton_wallet, "get_wallet_data")
    if answer.exit_code not in OK or not answer.stack:
        return 0
    return read_number(answer.stack[0])


async def bound_fee(endpoint: Endpoint, payment: Payment, terms: pay.Terms, seqno: int) -> int:
    """Return the most that a payment can cost: the estimate and half as much, or a floor.

    To a jetton payment belongs what is sent along; most of it comes back.
    """
    estimate = await estimate_fee(endpoint, payment, terms, seqno)
    floor = DEPLOY_FEE_MINOR_MIN if terms.deploy else FEE_MINOR_MIN
    fee_minor = FEE_MINOR_DEFAULT if estimate is None else max(floor, estimate * 3 // 2)
    return fee_minor + (JETTON_ATTACHED_MINOR if terms.jetton_wallet is not None else 0)


async def estimate_fee(
    endpoint: Endpoint, payment: Payment, terms: pay.Terms, seqno: int
) -> int | None:
    """Let the node run the transaction without a signature; None if it does not do that."""
    expires = terms.time + EXPIRY_S
    message = pay.message_of(payment, terms, expires)
    order = wallet.order(terms.number, expires, seqno, message, _NO_SIGNATURE)
    body = {"address": payment.sender.upper(), "body": encode(order.to_boc())}
    if terms.deploy:
        data = wallet.initial_data(terms.public_key, terms.number)
        body |= {"init_code": encode(wallet.CODE.to_boc()), "init_data": encode(data.to_boc())}
    request = body | {"ignore_chksig": True}
    status, raw = await endpoint.ask("estimateFee", "estimateFee", body=request, judged={500})
    if status != 200:
        return None
    return read_answer(status, raw, FeeEstimate).source_fees.total


def encode(boc: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(boc).decode()
