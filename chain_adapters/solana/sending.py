"""Sending signed bytes, and reading what nodes say of them.

A node first tries the transaction on its own state (preflight) and refuses it with what would go
wrong. That is an outcome of that moment only: whether a transaction can still land is for its
expiry to say. A refusal that is not understood is no outcome.
"""

from __future__ import annotations

import base64

import msgspec

from chain_adapters.rpc import (
    UNUSABLE,
    Endpoint,
    Fault,
    Reply,
    Request,
    RpcClient,
    describe_fault,
    result_of,
)
from chain_adapters.solana import wire
from chain_adapters.types import (
    Broadcast,
    BroadcastOutcome,
    NodeUnavailable,
    SignedTransaction,
)

PREFLIGHT_FAILURE = -32002
SIGNATURE_FAILURE = -32003
PRECOMPILE_FAILURE = -32006
"""Error codes of sendTransaction (agave, rpc-client-api/src/custom_error.rs)."""

SEND = {"encoding": "base64", "skipPreflight": False, "preflightCommitment": "finalized"}
_ON_CHAIN = Broadcast(BroadcastOutcome.ACCEPTED, "already in a block")


def classify(fault: Fault) -> BroadcastOutcome | None:
    """Return what a refusal of sendTransaction means, None if it means nothing certain."""
    if fault.code == PREFLIGHT_FAILURE:
        return BroadcastOutcome.ACCEPTED if is_repeated(fault) else BroadcastOutcome.REFUSED
    if fault.code in {SIGNATURE_FAILURE, PRECOMPILE_FAILURE}:
        return BroadcastOutcome.REFUSED
    return None


def is_repeated(fault: Fault) -> bool:
    """Whether the node has executed the very same bytes before."""
    words = fault.message.lower()
    return preflight_error(fault) == "AlreadyProcessed" or "already been processed" in words


def preflight_error(fault: Fault) -> object:
    """Return the error that the transaction would end with: a text, or an object of one."""
    try:
        return msgspec.convert(fault.data, wire.Preflight).err
    except msgspec.ValidationError:
        return None


def describe_refusal(fault: Fault) -> str:
    """Return a refusal as one line, with the error's name where the message lacks it."""
    error = preflight_error(fault)
    named = "" if error is None else f" {msgspec.json.encode(error).decode()}"
    return describe_fault(fault) + named[:200]


async def broadcast(rpc: RpcClient, signed: SignedTransaction) -> Broadcast:
    """Send the bytes to endpoints in turn until one gives a definite answer.

    A refusal is what one node's own state says: one that lags does not know the blockhash yet, and
    one that forgot, or never had it, does not know the transaction. So the others are asked too.
    """

    async def send(endpoint: Endpoint) -> tuple[Endpoint, Broadcast]:
        return endpoint, await send_to(endpoint, signed)

    witness, answer = await rpc.first(send)
    if answer.outcome is BroadcastOutcome.REFUSED:
        others = [endpoint for endpoint in rpc.endpoints if endpoint is not witness]
        for endpoint in others:
            other = await send_perhaps(endpoint, signed)
            if other is not None and other.outcome is BroadcastOutcome.ACCEPTED:
                return other
    return answer


async def send_to(endpoint: Endpoint, signed: SignedTransaction) -> Broadcast:
    """Return what one node says of the bytes, or what it knows of the transaction from before."""
    content = base64.b64encode(signed.raw).decode()
    (reply,) = await endpoint.call([Request("sendTransaction", (content, SEND))])
    answer = read_answer(reply, signed.transaction_id)
    if answer.outcome is BroadcastOutcome.REFUSED and await is_known(endpoint, signed):
        return _ON_CHAIN
    return answer


async def send_perhaps(endpoint: Endpoint, signed: SignedTransaction) -> Broadcast | None:
    """The same of an endpoint whose silence does not matter."""
    try:
        await endpoint.check_network()
        return await send_to(endpoint, signed)
    except UNUSABLE:
        return None


def read_answer(reply: Reply, transaction_id: str) -> Broadcast:
    """Return what one node said; NodeUnavailable if that is nothing certain."""
    if reply.error is None:
        if wire.decode_text(reply.result) != transaction_id:
            raise NodeUnavailable("the node answered with another transaction's signature")
        return Broadcast(BroadcastOutcome.ACCEPTED)
    outcome = classify(reply.error)
    if outcome is None:
        raise NodeUnavailable(describe_fault(reply.error))
    return Broadcast(outcome, describe_refusal(reply.error))


async def is_known(endpoint: Endpoint, signed: SignedTransaction) -> bool:
    """Whether the endpoint has seen the transaction executed, however long ago.

    A node forgets which transactions it has executed when their blockhashes expire, and refuses
    them then as it would refuse any old one.
    """
    parameters = ([signed.transaction_id], {"searchTransactionHistory": True})
    (reply,) = await endpoint.call([Request("getSignatureStatuses", parameters)])
    statuses = wire.decode_statuses(result_of(reply)).value
    if len(statuses) != 1:
        raise NodeUnavailable("the node did not answer for the transaction")
    return statuses[0] is not None
