"""Reading blocks and the tip from a node, at commitment "finalized".

A finalized block is never replaced, so nothing that is read here is ever reorganised away.

Slots without a block are part of the chain: a slot is believed to be skipped when a later
finalized block names a parent before it, and never because a node says that it has no block.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from chain_adapters.rpc import (
    Absent,
    Endpoint,
    Fault,
    Identify,
    Reply,
    Request,
    describe_fault,
    result_of,
    split_replies,
)
from chain_adapters.solana import wire
from chain_adapters.solana.decode import ReadBlock, normalise_block, skipped_slot
from chain_adapters.types import Block, NodeUnavailable, Tip, WrongNetwork

FINALIZED = {"commitment": "finalized"}
BLOCK = {
    "commitment": "finalized",
    "transactionDetails": "accounts",
    "maxSupportedTransactionVersion": 1,
    "rewards": False,
}
"""Version 1 transactions are on the main network since September 2026; a node asked with less
refuses whole blocks (-32015). "accounts" leaves out instructions and logs, and puts accounts out of
lookup tables behind the others (since 1.13; agave, transaction-status, build_json_accounts)."""
HEADER_ONLY = BLOCK | {"transactionDetails": "none"}

NO_BLOCK = frozenset({-32004, -32007, -32009, -32014})
"""Error codes of getBlock that leave open whether there is a block: not available (yet), skipped
or missing (agave, rpc-client-api/src/custom_error.rs). Others, such as -32001 (cleaned up), are a
node that lacks what the chain has."""

_log = structlog.get_logger(__name__)


class _BlockReply(msgspec.Struct, gc=False):
    """A block with its transactions, in the usual form."""

    id: int
    result: ReadBlock


_decode_block_reply = msgspec.json.Decoder(_BlockReply).decode


def require_genesis(reference: str) -> Identify:
    """Return the check that an endpoint's genesis hash begins like this (CAIP-2, solana)."""

    async def identify(endpoint: Endpoint) -> None:
        (reply,) = await endpoint.call([Request("getGenesisHash")])
        found = wire.decode_text(result_of(reply))
        if found[:32] != reference:
            raise WrongNetwork(f"{endpoint.host} serves solana:{found[:32]}, not {reference}")

    return identify


async def read_block(endpoint: Endpoint, slot: int) -> Block:
    """Return the block of a slot, or the slot as a skipped one.

    Absent if the chain is not known to have reached it.
    """
    raw, id_ = await endpoint.post([Request("getBlock", (slot, BLOCK))])
    block = decode_answer(raw, id_)
    if block is None:
        return await prove_skipped(endpoint, slot)
    return normalise_block(slot, block, note_odd(slot))


def decode_answer(raw: bytes, id_: int) -> ReadBlock | wire.WireBlock | None:
    """Decode the answer to getBlock; None if the node says that it has no block there.

    The usual block takes one pass; one with an unusual transaction is taken apart.
    """
    try:
        usual = _decode_block_reply(raw)
    except msgspec.ValidationError:
        (reply,) = split_replies(raw, id_, 1)
        return None if has_no_block(reply) else wire.decode_block(result_of(reply))
    if usual.id != id_:
        raise NodeUnavailable("the node answered another request")
    return usual.result


def has_no_block(reply: Reply) -> bool:
    """Whether a node says that there is no block in a slot, skipped or not made yet."""
    return reply.error is not None and reply.error.code in NO_BLOCK


def note_odd(slot: int) -> Callable[[str], None]:
    """Return what is told of transactions that are left out of a block."""

    def note(why: str) -> None:
        _log.warning("a transaction cannot be read", slot=slot, why=why[:300])

    return note


async def prove_skipped(endpoint: Endpoint, slot: int) -> Block:
    """Return a slot as skipped if the next block proves it.

    Absent if there is no later block; NodeUnavailable if the chain has a block that this node
    lacks, or the node contradicts itself.
    """
    (reply,) = await endpoint.call([Request("getBlocksWithLimit", (slot, 1, FINALIZED))])
    later = wire.decode_slots(result_of(reply))
    if not later:
        raise Absent(f"nothing is known of slot {slot}")
    if later[0] <= slot:
        raise NodeUnavailable(f"the node lists a block in slot {slot} and does not give it")
    successor = await read_header(endpoint, later[0])
    if successor.parent_slot >= slot:
        raise NodeUnavailable(f"the node lacks blocks before slot {later[0]}")
    return skipped_slot(slot, successor)


async def read_header(endpoint: Endpoint, slot: int) -> wire.WireHeader:
    """Return a block without its transactions; Absent if the node does not give it (yet)."""
    (reply,) = await endpoint.call([Request("getBlock", (slot, HEADER_ONLY))])
    if has_no_block(reply):
        raise Absent(describe_fault(reply.error or Fault(0)))
    header: wire.WireHeader | None = wire.decode_header(result_of(reply))
    if header is None:
        raise Absent(f"no block in slot {slot}")
    return header


async def poll_tip(endpoint: Endpoint) -> Tip:
    """Return an endpoint's newest finalized block. Absent if it does not give it yet."""
    (reply,) = await endpoint.call([Request("getSlot", (FINALIZED,))])
    slot = wire.decode_slot(result_of(reply))
    header = await read_header(endpoint, slot)
    return Tip(slot, header.blockhash, safe_height=slot, finalized_height=slot)
