"""The few protobuf messages of TRON that are written, by hand and deterministically; and of what
was written, when it expires.

Field numbers: tronprotocol/protocol, core/Tron.proto and core/contract/*.proto. Fields go out in
the order of their numbers and those at their default are left out, as java-tron writes them, so
that hashes are equal byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator

_TYPE_URL = "type.googleapis.com/protocol."
_VARINT, _BYTES = 0, 2

_EXPIRATION = 8
"""Field of Transaction.raw."""

TRANSFER_CONTRACT = 1
"""ContractType of a plain transfer of TRX."""
TRIGGER_SMART_CONTRACT = 31
"""ContractType of a call."""


def encode_varint(number: int) -> bytes:
    """Return a non-negative number in base 128, least significant first."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def number_field(field: int, number: int) -> bytes:
    """Return an integer field; nothing for 0."""
    return encode_varint(field << 3 | _VARINT) + encode_varint(number) if number else b""


def bytes_field(field: int, content: bytes) -> bytes:
    """Return a field of bytes, text or a message; nothing if it is empty."""
    if not content:
        return b""
    return encode_varint(field << 3 | _BYTES) + encode_varint(len(content)) + content


def encode_transfer(owner: bytes, recipient: bytes, amount_minor: int) -> bytes:
    """Return a Contract that holds a TransferContract."""
    value = bytes_field(1, owner) + bytes_field(2, recipient) + number_field(3, amount_minor)
    return _encode_contract(TRANSFER_CONTRACT, "TransferContract", value)


def encode_call(owner: bytes, contract: bytes, data: bytes) -> bytes:
    """Return a Contract that holds a TriggerSmartContract without TRX."""
    value = bytes_field(1, owner) + bytes_field(2, contract) + bytes_field(4, data)
    return _encode_contract(TRIGGER_SMART_CONTRACT, "TriggerSmartContract", value)


def _encode_contract(kind: int, name: str, value: bytes) -> bytes:
    parameter = bytes_field(1, (_TYPE_URL + name).encode()) + bytes_field(2, value)
    return number_field(1, kind) + bytes_field(2, parameter)


def encode_raw(
    ref_block: tuple[bytes, bytes],
    expiration_ms: int,
    contract: bytes,
    timestamp_ms: int,
    fee_limit_minor: int = 0,
) -> bytes:
    """Return Transaction.raw, whose SHA-256 is the transaction's id and what is signed.

    `ref_block` are bytes 6 to 8 of the referenced block's height and bytes 8 to 16 of its id
    (TaPoS: the transaction is valid only on a chain with that block among its last 65,536).
    """
    return (
        bytes_field(1, ref_block[0])
        + bytes_field(4, ref_block[1])
        + number_field(_EXPIRATION, expiration_ms)
        + bytes_field(11, contract)
        + number_field(14, timestamp_ms)
        + number_field(18, fee_limit_minor)
    )


def encode_transaction(raw: bytes, signature: bytes) -> bytes:
    """Return Transaction with one signature."""
    return bytes_field(1, raw) + bytes_field(2, signature)


def read_expiration(transaction: bytes) -> int:
    """Return the expiration in ms of a Transaction that was written here."""
    content = dict(_read_fields(transaction))[1]
    assert isinstance(content, bytes)
    expiration_ms = dict(_read_fields(content))[_EXPIRATION]
    assert isinstance(expiration_ms, int)
    return expiration_ms


def _read_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message, by number."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        value, at = _read_varint(message, at)
        if key & 7 == _BYTES:
            yield key >> 3, message[at : at + value]
            at += value
        else:
            yield key >> 3, value


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Return a number in base 128, and where it ends."""
    number, shift = 0, 0
    while message[at] > 0x7F:
        number |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return number | message[at] << shift, at + 1


def encode_header(
    *,
    timestamp_ms: int,
    transaction_root: bytes,
    parent_id: bytes,
    height: int,
    witness_id: int,
    witness: bytes,
    version: int,
    state_root: bytes,
) -> bytes:
    """Return BlockHeader.raw, whose SHA-256 gives the last 24 bytes of the block's id."""
    return (
        number_field(1, timestamp_ms)
        + bytes_field(2, transaction_root)
        + bytes_field(3, parent_id)
        + number_field(7, height)
        + number_field(8, witness_id)
        + bytes_field(9, witness)
        + number_field(10, version)
        + bytes_field(11, state_root)
    )
