"""Asking a node for blocks and balances."""

from __future__ import annotations

from binascii import unhexlify
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

from chain_adapters.rpc import (
    Absent,
    Endpoint,
    Fault,
    Identify,
    MethodMissing,
    Reply,
    Request,
    result_of,
)
from chain_adapters.types import Block, NodeUnavailable, Tip, WrongNetwork
from chain_adapters.utxo import raw, wire
from chain_adapters.utxo.address import script_of
from chain_adapters.utxo.chain import UtxoChain
from chain_adapters.utxo.decode import fill_spent, lacking, normalise_block
from chain_adapters.utxo.plain import PlainBlock, PlainTransaction, plain_block

T = TypeVar("T")

VERBOSE_BLOCKS = "getblock verbosity 2"
TRANSACTION_INDEX = "txindex"
SCAN = "scantxoutset"
"""What an endpoint may be found to lack, beside whole methods."""

NOT_THERE = -8
"""Code of a parameter out of range (RPC_INVALID_PARAMETER): a height above the tip."""
NOT_FOUND = -5
"""Code for a transaction that is not known (RPC_INVALID_ADDRESS_OR_KEY)."""
_PREVOUTS = 3
_PER_POST = 200
"""Requests in one post: a batch of this many raw transactions stays far below a block's size."""


def require_genesis(chain: UtxoChain) -> Identify:
    """Return the check that an endpoint serves this network, by the hash of block 0."""

    async def identify(endpoint: Endpoint) -> None:
        (reply,) = await endpoint.call([Request("getblockhash", (0,))])
        found = wire.decode_hash(result_of(reply))
        if found not in chain.genesis:
            raise WrongNetwork(f"{endpoint.host} serves a chain that begins with {found[:16]}…")

    return identify


async def poll_tip(endpoint: Endpoint) -> Tip:
    """Ask one endpoint for its best block. There is no finality but depth."""
    (reply,) = await endpoint.call([Request("getblockchaininfo")])
    found = wire.decode_chain(result_of(reply))
    return Tip(found.blocks, found.bestblockhash)


async def read_block(endpoint: Endpoint, chain: UtxoChain, height: int) -> Block:
    """Return the endpoint's block at `height`; Absent if it has none.

    Senders and fees are known where the node tells what is spent: from verbosity 3 (Core 23 and
    later), else from a node that keeps an index of transactions (txindex=1).
    """
    (reply,) = await endpoint.call([Request("getblockhash", (height,))])
    if reply.error is not None and is_above_tip(reply.error):
        raise Absent(f"no block {height}")
    block = await read_plain(endpoint, chain, wire.decode_hash(result_of(reply)), height)
    if needed := lacking(block):
        fill_spent(block, await read_transactions(endpoint, needed))
    return normalise_block(chain, block)


def is_above_tip(fault: Fault) -> bool:
    """Whether a node has no block of that height yet: by its code, or by btcd's words."""
    return fault.code == NOT_THERE or "number out of range" in fault.message.lower()


async def read_plain(
    endpoint: Endpoint, chain: UtxoChain, block_id: str, height: int
) -> PlainBlock:
    """Return the block with this id, as JSON, or as bytes where the node has no such JSON."""
    if VERBOSE_BLOCKS not in endpoint.lacks:
        (reply,) = await endpoint.call([Request("getblock", (block_id, _PREVOUTS))])
        if reply.error is None or not wants_boolean(reply.error):
            block = plain_block(wire.decode_block(result_of(reply)))
            if (block.block_id, block.height) != (block_id, height):
                raise NodeUnavailable("the node answered with another block")
            return block
        endpoint.lacks.add(VERBOSE_BLOCKS)
    (reply,) = await endpoint.call([Request("getblock", (block_id, False))])
    content = unhexlify(wire.decode_text(result_of(reply)))
    return raw.read_block(content, block_id, height, merge_mined=chain.merge_mined)


def wants_boolean(fault: Fault) -> bool:
    """Whether a node knows getblock only as it was before 0.15: with or without transaction ids."""
    return "bool" in fault.message.lower()


async def read_transactions(endpoint: Endpoint, ids: Sequence[str]) -> dict[str, PlainTransaction]:
    """Return earlier transactions by id; none from a node without an index of them."""
    found: dict[str, PlainTransaction] = {}
    for chunk in chunks(ids):
        if TRANSACTION_INDEX in endpoint.lacks:
            return {}
        replies = await endpoint.call([Request("getrawtransaction", (id_, 0)) for id_ in chunk])
        for id_, reply in zip(chunk, replies, strict=True):
            if reply.error is not None and reply.error.code == NOT_FOUND:
                endpoint.lacks.add(TRANSACTION_INDEX)
            else:
                found[id_] = read_raw_transaction(reply, id_)
    return found


def read_raw_transaction(reply: Reply, transaction_id: str) -> PlainTransaction:
    """Return the transaction that a node gives as bytes, which must be the one asked for."""
    content = bytes.fromhex(wire.decode_text(result_of(reply)))
    try:
        transaction, end = raw.read_transaction(content, 0)
    except IndexError:
        raise NodeUnavailable("a transaction's bytes end too early") from None
    if transaction.id != transaction_id or end != len(content):
        raise NodeUnavailable("the node answered with another transaction")
    return transaction


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split what is asked into posts."""
    for start in range(0, len(items), _PER_POST):
        yield items[start : start + _PER_POST]


async def read_balances(
    endpoint: Endpoint, chain: UtxoChain, addresses: Sequence[str]
) -> list[int]:
    """Return what addresses hold in the node's latest block.

    One scan of all unspent outputs, whatever the number of addresses; it takes minutes on a large
    chain. Nodes without it (Dogecoin Core 1.14) need a wallet that watches the addresses.
    """
    scripts = [script_of(chain, address).hex() for address in addresses]
    try:
        unspents = await scan(endpoint, scripts)
    except MethodMissing:
        endpoint.lacks.add(SCAN)
        unspents = await list_watched(endpoint, addresses)
    held: defaultdict[str, int] = defaultdict(int)
    for unspent in unspents:
        held[unspent.script_pub_key] += wire.minor_of(unspent.amount)
    return [held[script] for script in scripts]


async def scan(endpoint: Endpoint, scripts: Sequence[str]) -> list[wire.WireUnspent]:
    """Return the unspent outputs with these scripts. MethodMissing where there is no such scan."""
    if SCAN in endpoint.lacks:
        raise MethodMissing("the node scans no outputs")
    wanted = [f"raw({script})" for script in dict.fromkeys(scripts)]
    (reply,) = await endpoint.call([Request(SCAN, ("start", wanted))])
    answer = wire.decode_scan(result_of(reply))
    if not answer.success:
        raise NodeUnavailable("the scan was aborted")
    return answer.unspents


async def list_watched(endpoint: Endpoint, addresses: Sequence[str]) -> list[wire.WireUnspent]:
    """Return the unspent outputs of addresses that the node's wallet watches, all of them."""
    unspents: list[wire.WireUnspent] = []
    for chunk in chunks(list(dict.fromkeys(addresses))):
        await require_watched(endpoint, chunk)
        (reply,) = await endpoint.call([Request("listunspent", (1, 9_999_999, list(chunk)))])
        unspents += wire.decode_unspents(result_of(reply))
    return unspents


async def require_watched(endpoint: Endpoint, addresses: Sequence[str]) -> None:
    """Raise NodeUnavailable, saying what to do, unless the node's wallet watches the addresses."""
    replies = await endpoint.call([Request("getaddressinfo", (a,)) for a in addresses])
    if any(reply.error is not None for reply in replies):
        replies = await endpoint.call([Request("validateaddress", (a,)) for a in addresses])
    watched = [wire.decode_watched(result_of(reply)) for reply in replies]
    strange = [
        a for a, w in zip(addresses, watched, strict=True) if not (w.ismine or w.iswatchonly)
    ]
    if strange:
        raise NodeUnavailable(
            f"the node has no scantxoutset and its wallet does not watch {len(strange)} of the "
            f'addresses, e.g. {strange[0]}: run importaddress "ADDRESS" "" false for each there, '
            "and start the node once with -rescan"
        )
