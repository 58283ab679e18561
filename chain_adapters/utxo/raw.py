"""Blocks and transactions in the bytes that the network exchanges.

Formats: Bitcoin's protocol documentation; BIP-144 for witnesses; the AuxPoW block header of
merge-mined chains ("Merged mining specification"), which is longer than 80 bytes. What is read is
proven by its hashes, so that nothing here need be trusted.
"""

from __future__ import annotations

import struct
from hashlib import sha256

from chain_adapters.types import NodeUnavailable
from chain_adapters.utxo.base58 import hash_twice
from chain_adapters.utxo.plain import (
    CoinId,
    Output,
    PlainBlock,
    PlainTransaction,
    check_complete,
)

_HEADER = 80
_WITNESSES, _EXTENSION = 1, 8
"""Bits of the flags that stand where a transaction without inputs would have its outputs' number
(BIP-144; the second of Litecoin Core, primitives/transaction.h)."""
_AUXPOW_BIT = 0x100
"""Bit of a block's version that says that an AuxPoW follows the header."""
_NOTHING = "00" * 32
_SIZES = {0xFD: 2, 0xFE: 4, 0xFF: 8}
_unpack_input = struct.Struct("<32sIB").unpack_from
"""Id and output's number of what is spent; the first byte of the script's length."""
_unpack_output = struct.Struct("<qB").unpack_from
"""Amount; the first byte of the script's length."""


def read_block(raw: bytes, block_id: str, height: int, *, merge_mined: bool) -> PlainBlock:
    """Return the block with this id. NodeUnavailable if the bytes are not just that."""
    header = raw[:_HEADER]
    if len(header) < _HEADER or hash_twice(header)[::-1].hex() != block_id:
        raise NodeUnavailable("the bytes are not those of the block that was asked for")
    try:
        transactions = _read_body(raw, merge_mined)
    except IndexError:
        raise NodeUnavailable("the block's bytes end too early") from None
    block = PlainBlock(
        height=height,
        block_id=block_id,
        parent_id=header[4:36][::-1].hex(),
        time=int.from_bytes(header[68:72], "little"),
        merkle_root=header[36:68][::-1].hex(),
        transactions=transactions,
    )
    check_complete(block)
    return block


def _read_body(raw: bytes, merge_mined: bool) -> list[PlainTransaction]:
    at = _HEADER
    if merge_mined and int.from_bytes(raw[:4], "little") & _AUXPOW_BIT:
        at = skip_auxpow(raw, at)
    count, at = read_size(raw, at)
    transactions = []
    for _ in range(count):
        transaction, at = read_transaction(raw, at)
        transactions.append(transaction)
    if at != len(raw):
        raise NodeUnavailable("the block's bytes do not end with its last transaction")
    return transactions


def skip_auxpow(raw: bytes, at: int) -> int:
    """Return where an AuxPoW ends: parent's coinbase, its hash, two branches, parent's header."""
    _, at = read_transaction(raw, at)
    at += 32
    for _ in range(2):
        length, at = read_size(raw, at)
        at += 32 * length + 4
    return at + _HEADER


def read_size(raw: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length (CompactSize) and where it ends.

    It counts things that follow: IndexError if it is larger than all the bytes there are.
    """
    first = raw[at]
    if first < 0xFD:
        return first, at + 1
    end = at + 1 + _SIZES[first]
    number = int.from_bytes(raw[at + 1 : end], "little")
    if number > len(raw):
        raise IndexError
    return number, end


def read_transaction(raw: bytes, at: int) -> tuple[PlainTransaction, int]:
    """Return a transaction and where it ends. IndexError if the bytes end before it does."""
    start = at
    flags = raw[at + 5] if raw[at + 4] == 0 else 0
    body = at + (6 if flags else 4)
    try:
        spends, at = _read_inputs(raw, body)
        outputs, at = _read_outputs(raw, at)
    except struct.error:
        raise IndexError from None
    body_end = at
    if flags:
        at = _skip_extras(raw, at, flags, len(spends))
    end = at + 4
    if end > len(raw):
        raise IndexError
    signed = raw[start:end]
    if flags:
        signed = raw[start : start + 4] + raw[body:body_end] + raw[at:end]
    id_ = sha256(sha256(signed).digest()).digest()[::-1].hex()
    if len(spends) == 1 and spends[0][0] == _NOTHING:
        return PlainTransaction(id_, [], outputs, [], 0), end
    return PlainTransaction(id_, spends, outputs), end


def _read_inputs(raw: bytes, at: int) -> tuple[list[CoinId], int]:
    count, at = read_size(raw, at)
    spends = []
    for _ in range(count):
        id_, number, length = _unpack_input(raw, at)
        at += 37
        if length >= 0xFD:
            length, at = read_size(raw, at - 1)
        at += length + 4
        spends.append((id_[::-1].hex(), number))
    return spends, at


def _read_outputs(raw: bytes, at: int) -> tuple[list[Output | None], int]:
    count, at = read_size(raw, at)
    outputs: list[Output | None] = []
    for _ in range(count):
        amount_minor, length = _unpack_output(raw, at)
        if amount_minor < 0:
            raise NodeUnavailable("an output's amount is negative")
        at += 9
        if length >= 0xFD:
            length, at = read_size(raw, at - 1)
        end = at + length
        outputs.append(Output(raw[at:end], amount_minor))
        at = end
    return outputs, at


def _skip_extras(raw: bytes, at: int, flags: int, inputs: int) -> int:
    """Return where the parts end that a transaction's id does not cover.

    Of Litecoin's extension block (MWEB, LIP-3) a transaction in a block has the mark alone, and
    only the last one has that.
    """
    if flags & ~(_WITNESSES | _EXTENSION):
        raise NodeUnavailable("a transaction has parts of an unknown kind")
    if flags & _WITNESSES:
        at = _skip_witnesses(raw, at, inputs)
    if flags & _EXTENSION:
        if raw[at]:
            raise NodeUnavailable("a transaction with an extension is in no block")
        at += 1
    return at


def _skip_witnesses(raw: bytes, at: int, inputs: int) -> int:
    for _ in range(inputs):
        items, at = read_size(raw, at)
        for _ in range(items):
            length, at = read_size(raw, at)
            at += length
    return at
