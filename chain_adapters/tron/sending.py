"""Sending signed bytes, and reading what nodes say of them."""

from __future__ import annotations

from chain_adapters.rpc import UNUSABLE, Absent, Endpoint, RpcClient
from chain_adapters.tron import node, wire
from chain_adapters.tron.protobuf import read_expiration
from chain_adapters.tron.reading import fetch_header
from chain_adapters.types import (
    Broadcast,
    BroadcastOutcome,
    NodeUnavailable,
    SignedTransaction,
)

REFUSALS = frozenset(
    {
        "SIGERROR",
        "CONTRACT_VALIDATE_ERROR",
        "CONTRACT_EXE_ERROR",
        "BANDWITH_ERROR",
        "TAPOS_ERROR",
        "TOO_BIG_TRANSACTION_ERROR",
        "TRANSACTION_EXPIRATION_ERROR",
    }
)
"""Codes for bytes that a node will not take (GrpcAPI.Return, the odd spelling is its own).

Not among them: SERVER_BUSY, NO_CONNECTION, NOT_ENOUGH_EFFECTIVE_CONNECTION, BLOCK_UNSOLIDIFIED
and OTHER_ERROR, which are about the node and mean nothing certain."""

KNOWN = "DUP_TRANSACTION_ERROR"
"""The node has seen the transaction before: in its pool or in a block; or, where it remembers what
it was sent (node.rpc.trxCacheEnable), within the last hour, whatever became of it."""

_MINED = Broadcast(BroadcastOutcome.ACCEPTED, "already in a block")


def read_answer(answer: wire.BroadcastAnswer, transaction_id: str) -> Broadcast:
    """Return what one node said; NodeUnavailable if that is nothing certain.

    `result: true` means that the node has the transaction in its pool, never that it is in a block.
    """
    detail = f"{node.read_message(answer.message)[:200]} ({answer.code})"
    if answer.result:
        if answer.id.lower() != transaction_id:
            raise NodeUnavailable("the node answered with another transaction's id")
        return Broadcast(BroadcastOutcome.ACCEPTED)
    if answer.code == KNOWN:
        return Broadcast(BroadcastOutcome.ACCEPTED, detail)
    if answer.code in REFUSALS:
        return Broadcast(BroadcastOutcome.REFUSED, detail)
    raise NodeUnavailable(detail)


async def broadcast(rpc: RpcClient, signed: SignedTransaction) -> Broadcast:
    """Send the bytes to endpoints in turn until one gives a definite answer.

    A node looks at expiration and references before it looks whether it knows a transaction, so
    that a refusal may be of one that is in a block.
    """

    async def send(endpoint: Endpoint) -> Broadcast:
        raw = signed.raw.hex()
        answer = await node.ask(
            endpoint, "wallet/broadcasthex", node.decode_broadcast, transaction=raw
        )
        if answer.code == KNOWN and await has_expired(endpoint, signed.raw):
            return Broadcast(BroadcastOutcome.REFUSED, "seen before, and expired since")
        return read_answer(answer, signed.transaction_id)

    answer = await rpc.first(send)
    if answer.outcome is BroadcastOutcome.REFUSED:
        for endpoint in rpc.endpoints:
            if await is_mined_perhaps(endpoint, signed.transaction_id):
                return _MINED
    return answer


async def has_expired(endpoint: Endpoint, raw: bytes) -> bool:
    """Whether the endpoint's next block can no longer have the transaction."""
    _, head = await fetch_header(endpoint, None)
    return head.timestamp >= read_expiration(raw)


async def is_mined(endpoint: Endpoint, transaction_id: str) -> bool:
    """Whether the endpoint has the transaction in a block."""
    try:
        place = await node.ask(
            endpoint, "wallet/gettransactioninfobyid", node.decode_place, value=transaction_id
        )
    except Absent:
        return False
    return place.id == transaction_id


async def is_mined_perhaps(endpoint: Endpoint, transaction_id: str) -> bool:
    """The same of an endpoint whose silence does not matter: gateways mix nodes of unlike age."""
    try:
        await endpoint.check_network()
        return await is_mined(endpoint, transaction_id)
    except UNUSABLE:
        return False
