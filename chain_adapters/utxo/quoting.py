"""What a transaction should pay now, as the node estimates it."""

from __future__ import annotations

import time

import msgspec

from chain_adapters.rpc import Endpoint, MethodMissing, Reply, Request, result_of
from chain_adapters.types import Payment, PaymentRefused, Quote
from chain_adapters.utxo import wire
from chain_adapters.utxo.address import script_of
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.pay import Bid, dust_below, fee_at, require_payable
from chain_adapters.utxo.transaction import virtual_size

BLOCKS = 3
"""In how many blocks a transaction should be; what is stuck is replaced."""
COINS_QUOTED = 3
"""A quote is for a payment of so many coins; what `build` takes is known only there."""
CACHED_S = 10.0
UNKNOWN = -1
"""What nodes answer that cannot estimate."""


class FeeBidder:
    """Asks for fee rates, at most every few seconds."""

    def __init__(self, chain: UtxoChain) -> None:
        self._chain = chain
        self._bid: Bid | None = None
        self._asked_at = 0.0

    async def bid(self, endpoint: Endpoint) -> Bid:
        """Return the rates to bid now."""
        if self._bid is None or time.monotonic() - self._asked_at > CACHED_S:
            self._bid = await ask_bid(endpoint, self._chain)
            self._asked_at = time.monotonic()
        return self._bid


async def ask_bid(endpoint: Endpoint, chain: UtxoChain) -> Bid:
    """Return what the node estimates, not below what it, or nodes in general, pass on.

    A node that cannot estimate (just started, an empty pool, none of the methods) leaves the
    least: what is stuck then is replaced, with a higher fee.
    """
    replies = await endpoint.call(
        [
            Request("estimatesmartfee", (BLOCKS,)),
            Request("getmempoolinfo"),
            Request("getnetworkinfo"),
        ]
    )
    estimate, pool, node = replies
    pool_limits, node_limits = wire.decode_pool(result_of(pool)), read_limits(node)
    rates = (
        chain.fee_rate_min,
        wire.minor_of(pool_limits.mempoolminfee),
        wire.minor_of(node_limits.relayfee),
        await read_estimate(endpoint, estimate),
    )
    return Bid(max(rates), max(chain.fee_rate_step, wire.minor_of(node_limits.incrementalfee)))


def read_limits(reply: Reply) -> wire.WireNode:
    """Return what the node passes on; btcd does not say."""
    try:
        return wire.decode_node(result_of(reply))
    except MethodMissing:
        return wire.WireNode()


async def read_estimate(endpoint: Endpoint, reply: Reply) -> int:
    """Return the estimated rate, 0 if there is none; nodes before 0.15 have only estimatefee."""
    try:
        rate = wire.decode_estimate(result_of(reply)).feerate
    except MethodMissing:
        (old,) = await endpoint.call([Request("estimatefee", (BLOCKS,))])
        rate = None if old.error is not None else wire.decode_rate(old.result)
    return 0 if rate is None or rate == UNKNOWN else wire.minor_of(rate)


async def quote(
    endpoint: Endpoint, chain: UtxoChain, payment: Payment, bidder: FeeBidder, fee_minor_cap: int
) -> Quote:
    """Quote a payment at one endpoint; which coins there are is not looked at.

    PaymentRefused reasons: below_dust, amount_too_large, fee_above_cap.
    """
    require_payable(chain, payment)
    bid = await bidder.bid(endpoint)
    fee_minor = usual_fee(chain, payment, bid)
    if fee_minor > fee_minor_cap:
        raise PaymentRefused("fee_above_cap", f"the fee would be {fee_minor}, over {fee_minor_cap}")
    return Quote(
        fee_minor_max=fee_minor,
        next_nonce=None,
        parameters=msgspec.json.encode(bid),
        held_minor=None,
        held_native_minor=None,
    )


def usual_fee(chain: UtxoChain, payment: Payment, bid: Bid) -> int:
    """Return the fee of a payment of a few coins, with change that may turn out to be dust."""
    script = script_of(chain, payment.sender)
    outputs = (script_of(chain, payment.recipient), script)
    size = virtual_size(script, COINS_QUOTED, outputs)
    return fee_at(bid.rate, size) + dust_below(chain, script)
