"""Sending signed bytes, and reading what nodes say of them.

Nodes have no common error codes here, so their words decide. A refusal that is not understood is
no outcome: the transaction may be on its way, and NodeUnavailable makes the caller try again.
"""

from __future__ import annotations

import re

import msgspec

from chain_adapters.ethereum import wire
from chain_adapters.rpc import (
    ENDPOINT_LIMITED,
    UNUSABLE,
    Endpoint,
    Fault,
    Reply,
    Request,
    RpcClient,
    describe_fault,
    misses_method,
    result_of,
)
from chain_adapters.types import (
    Broadcast,
    BroadcastOutcome,
    NodeUnavailable,
    SignedTransaction,
)

_KNOWN = re.compile(
    r"already known|already_exists|already imported|\bknown transaction|alreadyknown"
)
"""Not among them: "unknown transaction type"."""
_NONCE_USED = ("nonce too low", "nonce_too_low", "oldnonce", "old nonce", "nonce is too low")
_REFUSED = (
    "underpriced",
    "insufficient funds",
    "insufficientfunds",
    "sender doesn't have enough funds",
    "fee too low",
    "feetoolow",
    "less than block base fee",
    "exceeds block gas limit",
    "intrinsic gas too low",
    "exceeds the configured cap",
    "max priority fee per gas higher than max fee",
    "txpool is full",
    "invalid sender",
    "invalid chain id",
    "invalid signature",
    "replacement transaction",
    "could not replace existing tx",
    "gas limit too high",
    "out of gas",
)
"""Wordings of geth, erigon, nethermind, besu, reth and anvil for bytes they will not take."""


def classify(fault: Fault) -> BroadcastOutcome | None:
    """Return what a refusal of eth_sendRawTransaction means, None if it means nothing certain."""
    if fault.code in ENDPOINT_LIMITED or misses_method(fault):
        return None
    words = fault.message.lower()
    if _KNOWN.search(words):
        return BroadcastOutcome.ACCEPTED
    if any(hint in words for hint in _NONCE_USED):
        return BroadcastOutcome.NONCE_USED
    if any(hint in words for hint in _REFUSED):
        return BroadcastOutcome.REFUSED
    return None


async def broadcast(rpc: RpcClient, signed: SignedTransaction) -> Broadcast:
    """Send the bytes to endpoints in turn until one gives a definite answer."""

    async def send(endpoint: Endpoint) -> tuple[Endpoint, Broadcast]:
        request = Request("eth_sendRawTransaction", ("0x" + signed.raw.hex(),))
        (reply,) = await endpoint.call([request])
        answer = read_answer(reply, signed.transaction_id)
        if answer.outcome is BroadcastOutcome.NONCE_USED and await is_mined(endpoint, signed):
            answer = _MINED
        return endpoint, answer

    witness, answer = await rpc.first(send)
    if answer.outcome is BroadcastOutcome.NONCE_USED:
        others = [endpoint for endpoint in rpc.endpoints if endpoint is not witness]
        if any([await is_mined_perhaps(endpoint, signed) for endpoint in others]):
            return _MINED
    return answer


def read_answer(reply: Reply, transaction_id: str) -> Broadcast:
    """Return what one node said; NodeUnavailable if that is nothing certain."""
    if reply.error is None:
        if wire.decode_text(reply.result).lower() != transaction_id:
            raise NodeUnavailable("the node answered with another transaction's hash")
        return Broadcast(BroadcastOutcome.ACCEPTED)
    outcome = classify(reply.error)
    if outcome is None:
        raise NodeUnavailable(describe_fault(reply.error))
    return Broadcast(outcome, describe_fault(reply.error))


class _Place(msgspec.Struct, rename="camel"):
    """Where a transaction is, of eth_getTransactionReceipt."""

    block_hash: str | None = None


_MINED = Broadcast(BroadcastOutcome.ACCEPTED, "already in a block")
_decode_place = msgspec.json.Decoder(_Place | None).decode


async def is_mined(endpoint: Endpoint, signed: SignedTransaction) -> bool:
    """Whether the endpoint has the transaction in a block.

    The node that calls a nonce used has the block that used it, so it is the one to ask.
    """
    request = Request("eth_getTransactionReceipt", (signed.transaction_id,))
    (reply,) = await endpoint.call([request])
    place = _decode_place(result_of(reply))
    return place is not None and place.block_hash is not None


async def is_mined_perhaps(endpoint: Endpoint, signed: SignedTransaction) -> bool:
    """The same of an endpoint whose silence does not matter: gateways mix nodes of unlike age."""
    try:
        await endpoint.check_network()
        return await is_mined(endpoint, signed)
    except UNUSABLE:
        return False
