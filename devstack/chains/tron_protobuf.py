"""TRON's protobuf messages as the simulated node reads and writes them.

Written apart from the adapter's own encoder, so that each is checked by the other: the adapter
writes transactions field by field, this reads whatever fields are there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

import coincurve
from eth_utils.crypto import keccak

KINDS = {
    1: "TransferContract",
    2: "TransferAssetContract",
    31: "TriggerSmartContract",
}
"""ContractType of what this node executes."""

FIELDS: dict[str, dict[int, str]] = {
    "TransferContract": {1: "owner_address", 2: "to_address", 3: "amount"},
    "TransferAssetContract": {
        1: "asset_name",
        2: "owner_address",
        3: "to_address",
        4: "amount",
    },
    "TriggerSmartContract": {
        1: "owner_address",
        2: "contract_address",
        3: "call_value",
        4: "data",
    },
}
"""Names of the fields of each contract, by number (tronprotocol/protocol)."""

Message = dict[int, list[int | bytes]]


class Malformed(ValueError):
    """These bytes are no such message."""


def read_message(raw: bytes) -> Message:
    """Return all fields of a message by number, in order."""
    found: Message = {}
    position = 0
    while position < len(raw):
        key, position = _read_varint(raw, position)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == 0:
            value, position = _read_varint(raw, position)
        elif kind == 2:
            length, position = _read_varint(raw, position)
            value = raw[position : position + length]
            if len(value) != length:
                raise Malformed("a field is cut off")
            position += length
        else:
            raise Malformed(f"wire type {kind}")
        found.setdefault(number, []).append(value)
    return found


def _read_varint(raw: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if position >= len(raw) or shift > 63:
            raise Malformed("a number is cut off or too long")
        part = raw[position]
        number |= (part & 0x7F) << shift
        position += 1
        shift += 7
        if part < 0x80:
            return number, position


def write_message(fields: Iterable[tuple[int, int | bytes]]) -> bytes:
    """Return a message; fields that are 0 or empty are left out."""
    out = bytearray()
    for number, value in fields:
        if not value:
            continue
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            out += _varint(number << 3 | 2) + _varint(len(value)) + value
    return bytes(out)


def _varint(number: int) -> bytes:
    digits = []
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit)
        if not number:
            break
    return bytes(digit + 128 for digit in digits[:-1]) + bytes(digits[-1:])


@dataclass(frozen=True)
class Signed:
    """A signed transaction, taken apart. Addresses and other bytes are hex."""

    whole: bytes
    raw: bytes
    kind: str
    content: dict[str, int | str]
    ref_block_bytes: bytes
    ref_block_hash: bytes
    expiration_ms: int
    timestamp_ms: int
    fee_limit: int
    signatures: tuple[bytes, ...] = field(default=())

    @property
    def id(self) -> str:
        """Hash of the raw data, in hex."""
        return sha256(self.raw).hexdigest()

    @property
    def owner(self) -> str:
        """Who pays."""
        return str(self.content["owner_address"])

    def as_json(self) -> dict[str, object]:
        """Return it as java-tron shows it, without its result."""
        raw_data: dict[str, object] = {
            "contract": [
                {
                    "parameter": {
                        "value": self.content,
                        "type_url": f"type.googleapis.com/protocol.{self.kind}",
                    },
                    "type": self.kind,
                }
            ],
            "ref_block_bytes": self.ref_block_bytes.hex(),
            "ref_block_hash": self.ref_block_hash.hex(),
            "expiration": self.expiration_ms,
            "timestamp": self.timestamp_ms,
        }
        if self.fee_limit:
            raw_data["fee_limit"] = self.fee_limit
        return {
            "signature": [signature.hex() for signature in self.signatures],
            "txID": self.id,
            "raw_data": raw_data,
            "raw_data_hex": self.raw.hex(),
        }


def read_transaction(whole: bytes) -> Signed:
    """Take a signed transaction apart. Malformed if it is none that this node executes."""
    outer = read_message(whole)
    raw = _bytes_of(outer, 1)
    inner = read_message(raw)
    if len(inner.get(11, [])) != 1:
        raise Malformed("a transaction has one contract")
    contract = read_message(_bytes_of(inner, 11))
    kind = KINDS.get(_number_of(contract, 1), "")
    parameter = read_message(_bytes_of(contract, 2))
    if not kind or _bytes_of(parameter, 1).decode() != f"type.googleapis.com/protocol.{kind}":
        raise Malformed("this node does not execute such a contract")
    return Signed(
        whole=whole,
        raw=raw,
        kind=kind,
        content=_name_fields(kind, read_message(_bytes_of(parameter, 2))),
        ref_block_bytes=_bytes_of(inner, 1),
        ref_block_hash=_bytes_of(inner, 4),
        expiration_ms=_number_of(inner, 8),
        timestamp_ms=_number_of(inner, 14),
        fee_limit=_number_of(inner, 18),
        signatures=tuple(s for s in outer.get(2, []) if isinstance(s, bytes)),
    )


def _name_fields(kind: str, message: Message) -> dict[str, int | str]:
    content: dict[str, int | str] = {}
    for number, name in FIELDS[kind].items():
        for value in message.get(number, [])[-1:]:
            content[name] = value.hex() if isinstance(value, bytes) else value
    if "owner_address" not in content:
        raise Malformed("a contract has an owner")
    return content


def _bytes_of(message: Message, number: int) -> bytes:
    value = message.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise Malformed(f"field {number} is not bytes")
    return value


def _number_of(message: Message, number: int) -> int:
    value = message.get(number, [0])[-1]
    if not isinstance(value, int):
        raise Malformed(f"field {number} is not a number")
    return value


def address_of(key: coincurve.PublicKey) -> str:
    """Return the address of a key in hex."""
    return "41" + keccak(key.format(compressed=False)[1:]).hex()[-40:]


def recover_signer(signed: Signed) -> str | None:
    """Return the address whose key made the only signature, None if there is no such key."""
    if len(signed.signatures) != 1 or len(signed.signatures[0]) != 65:
        return None
    signature = signed.signatures[0]
    parity = signature[64] - 27 if signature[64] >= 27 else signature[64]
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            signature[:64] + bytes([parity]), sha256(signed.raw).digest(), hasher=None
        )
    except Exception:  # coincurve raises a bare Exception where no key can be recovered
        return None
    return address_of(key)


def sign_contract(
    kind: str,
    content: dict[str, int | str],
    key: coincurve.PrivateKey,
    *,
    ref_block_id: str,
    expiration_ms: int,
    timestamp_ms: int,
    fee_limit: int = 0,
) -> bytes:
    """Return a signed transaction of one contract."""
    numbers = {name: number for number, name in FIELDS[kind].items()}
    fields = sorted((numbers[name], value) for name, value in content.items())
    value = write_message(
        (number, bytes.fromhex(v) if isinstance(v, str) else v) for number, v in fields
    )
    kind_number = next(number for number, name in KINDS.items() if name == kind)
    url = f"type.googleapis.com/protocol.{kind}".encode()
    contract = write_message([(1, kind_number), (2, write_message([(1, url), (2, value)]))])
    block_id = bytes.fromhex(ref_block_id)
    raw = write_message(
        [
            (1, block_id[6:8]),
            (4, block_id[8:16]),
            (8, expiration_ms),
            (11, contract),
            (14, timestamp_ms),
            (18, fee_limit),
        ]
    )
    signature = key.sign_recoverable(sha256(raw).digest(), hasher=None)
    return write_message([(1, raw), (2, signature)])
