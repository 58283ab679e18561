"""Asking a node what a payment would cost, and whether it could succeed at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from chain_adapters.rpc import Endpoint
from chain_adapters.tron import node, tokens, wire
from chain_adapters.tron.heads import fetch_solid
from chain_adapters.tron.pay import Terms, encode_payment
from chain_adapters.tron.prices import PriceList, Prices
from chain_adapters.tron.protobuf import encode_transaction
from chain_adapters.tron.reading import fetch_header
from chain_adapters.types import Payment, PaymentRefused, Quote

LIFETIME_MS = 600_000
"""A transaction can land for about ten minutes after its quote; java-tron allows a day."""

JITTER_MS = 2**16

RESULT_BYTES = 64
"""What java-tron counts for a transaction's result beside its own bytes (MAX_RESULT_SIZE_IN_TX)."""

_SIGNATURE = bytes([1]) * 65


class Moments:
    """Gives every quote a time of its own.

    TRON has no nonce: two payments alike in everything, time included, would be one transaction,
    and one of them never made. Within a process the timestamp never repeats; between processes
    the expiration differs by chance as well.
    """

    def __init__(self, clock_ms: Callable[[], int], random_below: Callable[[int], int]) -> None:
        self._clock_ms = clock_ms
        self._random_below = random_below
        self._last_ms = 0

    def take(self, head_ms: int) -> tuple[int, int]:
        """Return timestamp and expiration of a transaction that is made on top of a head."""
        self._last_ms = max(self._clock_ms(), self._last_ms + 1)
        return self._last_ms, head_ms + LIFETIME_MS + self._random_below(JITTER_MS)


class Cost(msgspec.Struct, frozen=True):
    """What a payment burns in sun: at most, and with the sender's resources as they are now."""

    minor_max: int
    minor_now: int


def count_bytes(payment: Payment, terms: Terms) -> int:
    """Return the bandwidth that a payment takes."""
    return len(encode_transaction(encode_payment(payment, terms), _SIGNATURE)) + RESULT_BYTES


def has_bandwidth(resources: wire.ResourceAnswer, length: int) -> bool:
    """Whether staked or free bandwidth pays for a transaction: one of them for all of it."""
    staked = resources.net_limit - resources.net_used
    free = resources.free_net_limit - resources.free_net_used
    return length <= max(staked, free)


def price_native(
    length: int, resources: wire.ResourceAnswer, prices: Prices, *, activates: bool
) -> Cost:
    """Return what a transfer of TRX burns. A new account is paid for by who first sends it TRX.

    Free bandwidth does not pay for a transfer to a new account, staked bandwidth does.
    """
    if not activates:
        burned = length * prices.byte_minor
        return Cost(burned, 0 if has_bandwidth(resources, length) else burned)
    staked = length <= resources.net_limit - resources.net_used
    return Cost(
        prices.new_account_minor, prices.account_minor if staked else prices.new_account_minor
    )


def price_call(
    length: int, energy: tokens.Energy, resources: wire.ResourceAnswer, prices: Prices, cap: int
) -> tuple[Cost, int]:
    """Return what a call burns and its fee limit in sun.

    The limit has room for what may change before the call is made, as far as `cap` allows.
    PaymentRefused("fee_above_cap") if not even the estimate fits.
    """
    bandwidth_minor = length * prices.byte_minor
    room_minor = min(cap - bandwidth_minor, prices.fee_limit_minor_max)
    if energy.used * prices.energy_minor > room_minor:
        needed_minor = energy.used * prices.energy_minor + bandwidth_minor
        raise PaymentRefused("fee_above_cap", f"the fee would be {needed_minor} sun")
    limit_minor = min(energy.limit * prices.energy_minor, room_minor)
    lacking = max(0, energy.used - (resources.energy_limit - resources.energy_used))
    now_minor = lacking * prices.energy_minor
    if not has_bandwidth(resources, length):
        now_minor += bandwidth_minor
    return Cost(limit_minor + bandwidth_minor, now_minor), limit_minor


def check_payment(payment: Payment) -> None:
    """Refuse what no node needs to be asked about."""
    if payment.amount_minor >= 2 ** (63 if payment.contract is None else 256):
        raise PaymentRefused("amount_too_large", "the amount does not fit into the chain's numbers")
    if payment.contract is None and payment.recipient == payment.sender:
        raise PaymentRefused("recipient_is_sender", "TRON refuses TRX sent to its own sender")
    if payment.recipient == payment.contract:
        raise PaymentRefused("recipient_is_token", "tokens sent to their own contract are lost")


class Quoter:
    """Quotes payments of one network."""

    def __init__(self, prices: PriceList, moments: Moments, fee_minor_cap: int) -> None:
        self._prices = prices
        self._moments = moments
        self._cap = fee_minor_cap

    async def quote(self, endpoint: Endpoint, payment: Payment) -> Quote:
        """Quote a payment at one endpoint.

        PaymentRefused reasons: sender_lacks_funds (of the asset, or of TRX to burn; an account
        that was never activated has none), fee_above_cap, recipient_is_sender (TRX only),
        recipient_is_contract (TRX only: a plain transfer runs no code, so that contracts do not
        notice it), recipient_is_token, token_missing, token_transfer_reverts (frozen, paused, …),
        amount_too_large.

        `fee_minor_max` is what burns if no staked or free resource is left when the transaction
        is executed. A sender whose resources pay for it now may hold less than that.
        """
        check_payment(payment)
        sender, resources, prices, terms = await asyncio.gather(
            node.fetch_account(endpoint, payment.sender),
            node.fetch_resources(endpoint, payment.sender),
            self._prices.fetch(endpoint),
            self._choose_terms(endpoint),
        )
        if payment.contract is None:
            activates = await self._look_at_recipient(endpoint, payment)
            length = count_bytes(payment, terms)
            cost = price_native(length, resources, prices, activates=activates)
            held_minor, native_minor = sender.balance, payment.amount_minor
        else:
            held_minor, energy = await tokens.try_transfer(endpoint, payment, payment.contract)
            longest = msgspec.structs.replace(terms, fee_limit_minor=prices.fee_limit_minor_max)
            length = count_bytes(payment, longest)
            cost, limit_minor = price_call(length, energy, resources, prices, self._cap)
            terms = msgspec.structs.replace(terms, fee_limit_minor=limit_minor)
            native_minor = 0
        self._check_means(sender, native_minor, cost)
        return Quote(
            fee_minor_max=cost.minor_max,
            next_nonce=None,
            parameters=msgspec.json.encode(terms),
            held_minor=held_minor,
            held_native_minor=sender.balance,
        )

    def _check_means(self, sender: wire.AccountAnswer, native_minor: int, cost: Cost) -> None:
        if cost.minor_max > self._cap:
            raise PaymentRefused(
                "fee_above_cap", f"the fee would be {cost.minor_max} sun, over {self._cap}"
            )
        if sender.balance < native_minor:
            raise PaymentRefused("sender_lacks_funds", "the sender holds less than the amount")
        if sender.balance < native_minor + cost.minor_now:
            raise PaymentRefused(
                "sender_lacks_funds", f"the sender cannot pay the fee of {cost.minor_now} sun"
            )

    async def _choose_terms(self, endpoint: Endpoint) -> Terms:
        """Refer to the latest solidified block: whatever fork wins has it."""
        solid, (_, head) = await asyncio.gather(fetch_solid(endpoint), fetch_header(endpoint, None))
        timestamp_ms, expiration_ms = self._moments.take(head.timestamp)
        return Terms(solid.block_id, timestamp_ms, expiration_ms)

    async def _look_at_recipient(self, endpoint: Endpoint, payment: Payment) -> bool:
        """Return whether the payment activates its recipient; refuse contracts."""
        recipient = await node.fetch_account(endpoint, payment.recipient)
        if recipient.type == "Contract":
            raise PaymentRefused(
                "recipient_is_contract", "a contract does not notice TRX sent to it like this"
            )
        return recipient.address is None
