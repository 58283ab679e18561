"""Sending signed bytes, and finding out what became of them.

Bitcoin Core names most refusals by words behind a code (src/rpc/protocol.h, src/validation.cpp);
btcd has words of its own (mempool/mempool.go).
Missing inputs mean nothing by themselves: the transaction may be in a block already, another may
have spent its coins, or a reorganisation took them away. Which it is, only the chain tells.
"""

from __future__ import annotations

from collections.abc import Sequence

from chain_adapters.rpc import Endpoint, Fault, Reply, Request, describe_fault, result_of
from chain_adapters.types import Broadcast, BroadcastOutcome, NodeUnavailable, SignedTransaction
from chain_adapters.utxo import raw, wire
from chain_adapters.utxo.plain import CoinId

VERIFY_ERROR, VERIFY_REJECTED, ALREADY_IN_CHAIN, UNDECODABLE = -25, -26, -27, -22
NOT_FOUND = -5

_KNOWN = (
    "already-in-mempool",
    "already-known",
    "already in block chain",
    "already in mempool",
    "already have transaction",  # btcd
)
_MISSING = (
    "missing inputs",
    "missingorspent",
    "missing-inputs",
    "txn-mempool-conflict",
    "orphan transaction",  # btcd
)

ACCEPTED = Broadcast(BroadcastOutcome.ACCEPTED, "already known")


async def broadcast(endpoint: Endpoint, signed: SignedTransaction) -> Broadcast:
    """Send the bytes to one endpoint. NodeUnavailable if what it says is nothing certain."""
    (reply,) = await endpoint.call([Request("sendrawtransaction", (signed.raw.hex(),))])
    if reply.error is None:
        if wire.decode_hash(reply.result) != signed.transaction_id:
            raise NodeUnavailable("the node answered with another transaction's id")
        return Broadcast(BroadcastOutcome.ACCEPTED)
    if lacks_inputs(reply.error):
        return await find_out(endpoint, signed, describe_fault(reply.error))
    outcome = classify(reply.error)
    if outcome is None:
        raise NodeUnavailable(describe_fault(reply.error))
    return Broadcast(outcome, describe_fault(reply.error))


def lacks_inputs(fault: Fault) -> bool:
    """Whether the node misses coins, or sees them spent in its pool."""
    return any(hint in fault.message.lower() for hint in _MISSING)


def classify(fault: Fault) -> BroadcastOutcome | None:
    """Return what a refusal means, None if it means nothing certain."""
    words = fault.message.lower()
    if fault.code == ALREADY_IN_CHAIN or any(hint in words for hint in _KNOWN):
        return BroadcastOutcome.ACCEPTED
    if fault.code in {VERIFY_ERROR, VERIFY_REJECTED, UNDECODABLE}:
        return BroadcastOutcome.REFUSED
    return None


async def find_out(endpoint: Endpoint, signed: SignedTransaction, detail: str) -> Broadcast:
    """Return what became of a transaction whose coins the node misses.

    It is a matter of money not to take ours, when it is in a block, for another's. While all coins
    are unspent in blocks, ours is in none. If some are gone, a node that keeps an index of
    transactions must know the coin and not know ours. NodeUnavailable without that index.
    """
    sent, _ = raw.read_transaction(signed.raw, 0)
    ours = [(signed.transaction_id, number) for number in range(len(sent.outputs))]
    if await unspent(endpoint, ours, pool=True):
        return ACCEPTED
    there = await unspent(endpoint, sent.spends, pool=False)
    gone = [coin for coin in sent.spends if coin not in there]
    if not gone:
        return Broadcast(BroadcastOutcome.REFUSED, detail)
    place, *origins = await find_places(
        endpoint, [signed.transaction_id, *(id_ for id_, _ in gone)]
    )
    if place is not None:
        return ACCEPTED
    used = any(origin is not None and origin.blockhash is not None for origin in origins)
    return Broadcast(BroadcastOutcome.NONCE_USED if used else BroadcastOutcome.REFUSED, detail)


async def unspent(endpoint: Endpoint, coins: Sequence[CoinId], *, pool: bool) -> set[CoinId]:
    """Return those of the outputs that are unspent; with `pool`, as its transactions see it."""
    replies = await endpoint.call([Request("gettxout", (*coin, pool)) for coin in coins])
    return {
        c for c, reply in zip(coins, replies, strict=True) if bytes(result_of(reply)) != b"null"
    }


async def find_places(
    endpoint: Endpoint, transaction_ids: Sequence[str]
) -> list[wire.WirePlace | None]:
    """Return where transactions are, None for those that are nowhere."""
    asked = [Request("getrawtransaction", (id_, 1)) for id_ in transaction_ids]
    return [find_place(reply) for reply in await endpoint.call(asked)]


def find_place(reply: Reply) -> wire.WirePlace | None:
    """Return where a transaction is, None if it is neither on the best chain nor in the pool.

    NodeUnavailable if the node cannot know, because it keeps no index or is still making it.
    """
    if reply.error is None:
        place = wire.decode_place(reply.result)
        return place if place.blockhash is None or place.confirmations > 0 else None
    if reply.error.code != NOT_FOUND or "index" in reply.error.message.lower():
        raise NodeUnavailable(
            "the node cannot tell whether a transaction is in a block: start it with txindex=1 "
            f"({describe_fault(reply.error)})"
        )
    return None
