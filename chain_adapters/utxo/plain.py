"""A block as both of a node's forms tell it, JSON and raw bytes, and what must be true of it."""

from __future__ import annotations

import msgspec

from chain_adapters.types import NodeUnavailable
from chain_adapters.utxo import wire
from chain_adapters.utxo.base58 import hash_twice

CoinId = tuple[str, int]
"""Id of a transaction and number of its output."""


class Output(msgspec.Struct, frozen=True, gc=False):
    """What an output asks for and holds."""

    script: bytes
    amount_minor: int


class PlainTransaction(msgspec.Struct, gc=False):
    """One transaction. A coinbase transaction spends nothing.

    `spent` are the outputs that it spends, in order, None if they are not known. `outputs` has
    None for those that are not on the chain proper (Litecoin's MWEB).
    """

    id: str
    spends: list[CoinId]
    outputs: list[Output | None]
    spent: list[Output] | None = None
    fee_minor: int | None = None


class PlainBlock(msgspec.Struct):
    """One block, not yet in the words of other chains."""

    height: int
    block_id: str
    parent_id: str
    time: int
    merkle_root: str
    transactions: list[PlainTransaction]


def merkle_root(ids: list[str]) -> str:
    """Return the root of the tree of transaction ids, as nodes write it (in reversed bytes)."""
    content = bytes.fromhex("".join(reversed(ids)))[::-1]
    level = [content[at : at + 32] for at in range(0, len(content), 32)]
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [hash_twice(left + right) for left, right in pairs]
    return level[0][::-1].hex()


def is_hash(text: str) -> bool:
    """Whether a text is a hash in the one form that ids have: 64 lower-case hex digits."""
    return len(text) == 64 and bytes.fromhex(text).hex() == text


def check_complete(block: PlainBlock) -> None:
    """Raise NodeUnavailable unless these are the block's transactions, all of them and once each.

    Ids that are repeated at the end may have the right root as well (CVE-2012-2459). The first
    transaction, and no other, spends nothing.
    """
    spends = [bool(transaction.spends) for transaction in block.transactions]
    if spends != [position > 0 for position in range(len(spends))]:
        raise NodeUnavailable("the block's first transaction alone must be a coinbase")
    ids = [transaction.id for transaction in block.transactions]
    if not ids or len(set(ids)) != len(ids) or merkle_root(ids) != block.merkle_root:
        raise NodeUnavailable("the block's transactions are not those of its merkle root")


def plain_block(block: wire.WireBlock) -> PlainBlock:
    """Return what the JSON of verbosity 2 or 3 tells."""
    transactions = block.tx or block.rawtx
    if not all(is_hash(transaction.txid) for transaction in transactions):
        raise NodeUnavailable("a transaction's id is none")
    plain = PlainBlock(
        height=block.height,
        block_id=block.hash,
        parent_id=block.previousblockhash,
        time=block.time,
        merkle_root=block.merkleroot,
        transactions=[plain_transaction(transaction) for transaction in transactions],
    )
    check_complete(plain)
    return plain


def plain_transaction(transaction: wire.WireTransaction) -> PlainTransaction:
    """Return what the JSON of one transaction tells."""
    inputs = transaction.vin
    if inputs and inputs[0].coinbase is not None:
        return PlainTransaction(transaction.txid, [], plain_outputs(transaction.vout), [], 0)
    return PlainTransaction(
        id=transaction.txid,
        spends=[(given.txid or "", given.vout) for given in inputs],
        outputs=plain_outputs(transaction.vout),
        spent=plain_spent(inputs),
        fee_minor=None if transaction.fee is None else wire.minor_of(transaction.fee),
    )


def plain_spent(inputs: list[wire.WireInput]) -> list[Output] | None:
    """Return the spent outputs if the node tells all of them."""
    spent = []
    for given in inputs:
        prevout = given.prevout
        if prevout is None:
            return None
        script = bytes.fromhex(prevout.script_pub_key.hex)
        spent.append(Output(script, wire.minor_of(prevout.value)))
    return spent


def plain_outputs(outputs: list[wire.WireOutput]) -> list[Output | None]:
    """Return the outputs in order. NodeUnavailable if one is not at its number's place."""
    found: list[Output | None] = []
    for position, output in enumerate(outputs):
        script, value = output.script_pub_key, output.value
        if script is None or value is None:
            found.append(None)
            continue
        if output.n != position:
            raise NodeUnavailable("an output is not at its place")
        found.append(Output(bytes.fromhex(script.hex), wire.minor_of(value)))
    return found
