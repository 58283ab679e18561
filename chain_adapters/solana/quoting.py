"""Asking a node what a payment would cost, and whether it could succeed at all.

Everything is asked at commitment "finalized": the same state in which payments are followed, and
a blockhash that no fork can take away.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence

import msgspec
from solders.hash import Hash, ParseHashError
from solders.signature import Signature
from solders.transaction import Transaction

from chain_adapters.rpc import Absent, Endpoint, Reply, Request, result_of
from chain_adapters.solana import wire
from chain_adapters.solana.address import is_wallet
from chain_adapters.solana.asking import ask_all
from chain_adapters.solana.pay import Plan, Source, TokenPlan, compose, make_reference
from chain_adapters.solana.programs import (
    BLOCKHASH_BLOCKS,
    SIGNATURE_FEE_MINOR,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    TOKEN_PROGRAMS,
)
from chain_adapters.solana.reading import FINALIZED
from chain_adapters.solana.tokens import (
    associated_account,
    check_receives,
    check_transferable,
    new_account_bytes,
    read_mint,
    read_token_account,
)
from chain_adapters.solana.trial import refusal
from chain_adapters.types import Holding, NodeUnavailable, Payment, PaymentRefused, Quote, Token

UNIT_PRICE_MIN = 10_000
UNIT_PRICE_MAX = 5_000_000
"""Bounds of what is bid for a compute unit, in micro-lamports: a token payment that makes an
account takes some 30,000 units, so at most 0.00015 SOL."""
UNITS_TO_TRY = 400_000
"""Limit of the trial run; the payments of this file take a tenth of it."""
SOURCES_MAX = 8
"""Token accounts that one payment is put together from: more do not fit into a transaction."""

ACCOUNT_FORM = {"commitment": "finalized", "encoding": "base64"}
TRIAL = {
    "commitment": "finalized",
    "encoding": "base64",
    "sigVerify": False,
    "replaceRecentBlockhash": True,
}


class Findings(msgspec.Struct, frozen=True):
    """What a node tells of the accounts of a payment."""

    blockhash: str
    last_height: int
    """The last block that can carry the blockhash, by the node's word."""
    rent_minor: int
    """What any account without data must hold or be empty."""
    unit_price: int
    sender: wire.WireAccount | None
    recipient: wire.WireAccount | None
    mint: wire.WireAccount | None
    targets: dict[str, wire.WireAccount | None]
    """The recipient's associated account under each token program."""
    held: list[wire.WireHeldAccount]
    """The sender's accounts of the token."""

    @property
    def spendable_minor(self) -> int:
        """Lamports that can leave the sender's account without closing it."""
        return max(0, (self.sender.lamports if self.sender else 0) - self.rent_minor)


def balance_request(holding: Holding) -> Request:
    """Return the call that reads a balance."""
    if holding.contract is None:
        return Request("getMultipleAccounts", ([holding.address], ACCOUNT_FORM))
    mint = {"mint": holding.contract}
    return Request("getTokenAccountsByOwner", (holding.address, mint, ACCOUNT_FORM))


def balance_of(holding: Holding, reply: Reply) -> int:
    """Return minor units, over all token accounts of the holder; no account is 0."""
    if holding.contract is None:
        (account,) = wire.decode_accounts(result_of(reply)).value
        return 0 if account is None else account.lamports
    held = wire.decode_held(result_of(reply)).value
    accounts = [read_token_account(one.account) for one in held]
    return sum(account.amount_minor for account in accounts if account is not None)


async def fetch_token(endpoint: Endpoint, contract: str) -> Token:
    """Return what a mint tells of itself; Absent if there is none."""
    (reply,) = await endpoint.call([Request("getMultipleAccounts", ([contract], ACCOUNT_FORM))])
    (account,) = wire.decode_accounts(result_of(reply)).value
    mint = read_mint(account)
    if mint is None:
        raise Absent("there is no token at the mint's address")
    return Token(mint.decimals)


async def quote(endpoint: Endpoint, payment: Payment, fee_minor_cap: int) -> Quote:
    """Quote a payment at one endpoint.

    PaymentRefused reasons: sender_lacks_funds, fee_above_cap, amount_too_large,
    below_rent_minimum (the recipient's account would hold too little to exist), those of
    `check_recipient`, token_missing, sender_frozen, tokens_scattered (over too many accounts),
    those of tokens.check_transferable and tokens.check_receives, payment_fails (the trial run
    ended in an error that none of the others foresaw).
    """
    if payment.amount_minor >= 2**64:
        raise PaymentRefused("amount_too_large", "the amount does not fit into 64 bits")
    found = await look(endpoint, payment)
    check_recipient(payment, found.recipient)
    token, account_bytes = plan_token(payment, found)
    if token is None:
        check_rent(payment, found)
    if found.spendable_minor < SIGNATURE_FEE_MINOR + (payment.amount_minor if not token else 0):
        raise PaymentRefused("sender_lacks_funds", "the sender holds too little SOL")
    plan = Plan(
        blockhash=found.blockhash,
        last_height=found.last_height,
        unit_limit=UNITS_TO_TRY,
        unit_price=0,
        seed=secrets.token_bytes(16),
        token=token,
    )
    units, rent_minor = await try_out(endpoint, payment, plan, account_bytes)
    plan = msgspec.structs.replace(plan, unit_limit=units, unit_price=found.unit_price)
    plan, fee_minor = await price(endpoint, payment, plan, fee_minor_cap - rent_minor)
    return conclude(payment, found, plan, fee_minor + rent_minor)


def conclude(payment: Payment, found: Findings, plan: Plan, fee_minor: int) -> Quote:
    """Return the quote if the sender can pay for it all."""
    native_minor = payment.amount_minor if payment.contract is None else 0
    if found.spendable_minor < native_minor + fee_minor:
        raise PaymentRefused("sender_lacks_funds", "the sender cannot pay the fee")
    held_minor = found.spendable_minor
    if payment.contract is not None:
        held_minor = sum(source.amount_minor for source in list_sources(payment, found))
    return Quote(
        fee_minor_max=fee_minor,
        next_nonce=None,
        parameters=msgspec.json.encode(plan),
        held_minor=held_minor,
        held_native_minor=found.spendable_minor,
    )


async def look(endpoint: Endpoint, payment: Payment) -> Findings:
    """Ask for everything that can be asked at once."""
    mint = payment.contract
    targets = (
        {p: associated_account(payment.recipient, mint, p) for p in TOKEN_PROGRAMS} if mint else {}
    )
    addresses = [payment.sender, payment.recipient, *([mint] if mint else []), *targets.values()]
    requests = [
        Request("getLatestBlockhash", (FINALIZED,)),
        Request("getBlockHeight", (FINALIZED,)),
        Request("getMinimumBalanceForRentExemption", (0,)),
        Request("getRecentPrioritizationFees", ([payment.sender],)),
        Request("getMultipleAccounts", (addresses, ACCOUNT_FORM)),
    ]
    if mint is not None:
        requests.append(balance_request(Holding(payment.sender, mint)))
    latest, height, rent, priorities, accounts, *held = await ask_all(endpoint, requests)
    blockhash = wire.decode_latest_blockhash(result_of(latest)).value
    require_hash(blockhash.blockhash)
    found = wire.decode_accounts(result_of(accounts)).value
    if len(found) != len(addresses):
        raise NodeUnavailable("the node did not answer for every account")
    return Findings(
        blockhash=blockhash.blockhash,
        last_height=judge_expiry(blockhash, wire.decode_slot(result_of(height))),
        rent_minor=wire.decode_slot(result_of(rent)),
        unit_price=choose_price(wire.decode_priorities(result_of(priorities))),
        sender=found[0],
        recipient=found[1],
        mint=found[2] if mint else None,
        targets=dict(zip(targets, found[3:], strict=True)),
        held=wire.decode_held(result_of(held[0])).value if held else [],
    )


def require_hash(text: str) -> None:
    """Raise NodeUnavailable unless a text is a hash in base58."""
    try:
        Hash.from_string(text)
    except ParseHashError:
        raise NodeUnavailable("the node's latest blockhash is none") from None


def judge_expiry(latest: wire.WireLatestBlockhash, height: int) -> int:
    """Return the last block that can carry a blockhash. `height` is the newest final block's.

    A number that is too low would let us pay again while the first payment can still land: it is
    never below what any final block's hash is good for. One that is far off is of another measure
    (slots) or another chain.
    """
    last_height = latest.last_valid_block_height
    if not height < last_height <= height + 2 * BLOCKHASH_BLOCKS:
        raise NodeUnavailable("the node contradicts itself about when a blockhash expires")
    return max(last_height, height + BLOCKHASH_BLOCKS)


def choose_price(recent: Sequence[wire.WirePriority]) -> int:
    """Return what to bid for a compute unit: more than in three of four recent blocks.

    Only fees paid by those that wrote to the sender's account count, so that busy markets
    elsewhere do not drive the price.
    """
    prices = sorted(one.prioritization_fee for one in recent)
    usual = prices[len(prices) * 3 // 4] if prices else 0
    return min(max(usual, UNIT_PRICE_MIN), UNIT_PRICE_MAX)


def check_recipient(payment: Payment, recipient: wire.WireAccount | None) -> None:
    """Refuse recipients that are no wallets.

    Reasons: recipient_off_curve (no key can exist for it and nobody uses it: often the address of
    a token account that was never made), recipient_is_mint, recipient_is_token_account,
    recipient_not_a_wallet (it belongs to another program). Addresses off the curve that the
    system program holds money for, such as vaults of multi-signature wallets, are taken.
    """
    if recipient is None:
        if not is_wallet(payment.recipient):
            raise PaymentRefused("recipient_off_curve", "nobody can hold a key for the recipient")
        return
    if read_mint(recipient) is not None:
        raise PaymentRefused("recipient_is_mint", "the recipient is a token, not a wallet")
    if recipient.owner in TOKEN_PROGRAMS:
        raise PaymentRefused(
            "recipient_is_token_account", "the recipient is a token account: pay to its owner"
        )
    if recipient.owner != SYSTEM_PROGRAM or recipient.executable:
        raise PaymentRefused("recipient_not_a_wallet", "the recipient belongs to a program")


def check_rent(payment: Payment, found: Findings) -> None:
    """Refuse an amount with which the recipient's account could not exist."""
    held_minor = found.recipient.lamports if found.recipient else 0
    if held_minor + payment.amount_minor < found.rent_minor:
        raise PaymentRefused(
            "below_rent_minimum",
            f"the recipient would hold less than {found.rent_minor} lamports, the least there is",
        )


def plan_token(payment: Payment, found: Findings) -> tuple[TokenPlan | None, int]:
    """Return how the token is moved and the size of the account to be made; None and 0 for SOL."""
    if payment.contract is None:
        return None, 0
    mint = read_mint(found.mint)
    if mint is None:
        raise PaymentRefused("token_missing", "there is no token at the mint's address")
    check_transferable(mint)
    account = found.targets[mint.program]
    target = read_token_account(account)
    check_receives(payment.recipient, mint, target)
    sources = choose_sources(payment, list_sources(payment, found))
    makes_account = target is None
    token = TokenPlan(mint.program, mint.decimals, sources, makes_account)
    return token, new_account_bytes(mint) if makes_account else 0


def list_sources(payment: Payment, found: Findings) -> list[Source]:
    """Return what the sender can take from, its associated account first, then by amount.

    "sender_frozen" if its mint froze all that the sender has.
    """
    usual = {
        associated_account(payment.sender, payment.contract or "", program)
        for program in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
    }
    accounts = [(one.pubkey, read_token_account(one.account)) for one in found.held]
    full = [(key, account) for key, account in accounts if account and account.amount_minor]
    free = [Source(key, account.amount_minor) for key, account in full if not account.frozen]
    if full and not free:
        raise PaymentRefused("sender_frozen", "the issuer froze the sender's tokens")
    return sorted(free, key=lambda s: (s.account not in usual, -s.amount_minor, s.account))


def choose_sources(payment: Payment, sources: Sequence[Source]) -> tuple[Source, ...]:
    """Return from which accounts how much is taken."""
    if sum(source.amount_minor for source in sources) < payment.amount_minor:
        raise PaymentRefused("sender_lacks_funds", "the sender holds less of the token")
    chosen: list[Source] = []
    missing_minor = payment.amount_minor
    for source in sources[:SOURCES_MAX]:
        taken_minor = min(source.amount_minor, missing_minor)
        chosen.append(Source(source.account, taken_minor))
        missing_minor -= taken_minor
        if missing_minor == 0:
            return tuple(chosen)
    raise PaymentRefused("tokens_scattered", "the sender's tokens lie in too many accounts")


async def try_out(
    endpoint: Endpoint, payment: Payment, plan: Plan, account_bytes: int
) -> tuple[int, int]:
    """Let the node run the payment; return compute units to allow and lamports of rent."""
    message = compose(payment, plan, make_reference(payment, plan.seed, b""))
    unsigned = bytes(Transaction.populate(message, [Signature.default()]))
    requests = [Request("simulateTransaction", (base64.b64encode(unsigned).decode(), TRIAL))]
    if account_bytes:
        requests.append(Request("getMinimumBalanceForRentExemption", (account_bytes,)))
    trial, *rent = await ask_all(endpoint, requests)
    simulation = wire.decode_simulation(result_of(trial)).value
    if simulation.err is not None:
        raise refusal(simulation)
    if simulation.units_consumed is None:
        raise NodeUnavailable("the node does not tell how many compute units a trial took")
    rent_minor = wire.decode_slot(result_of(rent[0])) if rent else 0
    return simulation.units_consumed * 6 // 5 + 1000, rent_minor


async def price(
    endpoint: Endpoint, payment: Payment, plan: Plan, fee_minor_cap: int
) -> tuple[Plan, int]:
    """Return the plan with the price that the cap allows, and the fee that the node asks for it.

    "fee_above_cap" if the cap does not allow the least price.
    """
    affordable = (fee_minor_cap - SIGNATURE_FEE_MINOR) * 1_000_000 // plan.unit_limit
    if affordable < UNIT_PRICE_MIN:
        raise PaymentRefused("fee_above_cap", "the fee and rent would be more than is allowed")
    plan = msgspec.structs.replace(plan, unit_price=min(plan.unit_price, affordable))
    message = compose(payment, plan, make_reference(payment, plan.seed, b""))
    content = base64.b64encode(bytes(message)).decode()
    (reply,) = await endpoint.call([Request("getFeeForMessage", (content, FINALIZED))])
    fee_minor = wire.decode_fee(result_of(reply)).value
    if fee_minor is None:
        raise NodeUnavailable("the blockhash expired while the payment was quoted")
    return plan, max(fee_minor, least_fee(plan))


def least_fee(plan: Plan) -> int:
    """Return the fee by the rules: one signature, and the compute units' price rounded up.

    There are nodes that leave the price out of their answer.
    """
    return SIGNATURE_FEE_MINOR - (-plan.unit_limit * plan.unit_price // 1_000_000)
