"""Our own transactions: their bytes, and what is signed of them.

Coins are P2WPKH (BIP-141, BIP-143) or P2PKH. All coins of a transaction belong to one key.
"""

from __future__ import annotations

import msgspec

from chain_adapters.types import Coin
from chain_adapters.utxo.address import is_p2wpkh, key_hash_of, p2pkh_script
from chain_adapters.utxo.base58 import hash_twice
from chain_adapters.utxo.plain import Output

SEQUENCE = 0xFFFFFFFD
"""Says that the transaction may be replaced (BIP-125) and sets no lock time."""
VERSION = 2

_SIGHASH_ALL = 1
_SIGNATURE_MAX = 72
"""DER with low s and the byte that says what is signed."""
_KEY = 33
_OVERHEAD = 10
"""Version, lock time and two counts below 253, in bytes."""
_INPUT = 41
"""Id, number, sequence and the length of an empty script."""


class Draft(msgspec.Struct, frozen=True):
    """Everything that a transaction says but its signatures. `script` is that of every coin."""

    script: bytes
    coins: tuple[Coin, ...]
    outputs: tuple[Output, ...]

    @property
    def fee_minor(self) -> int:
        """What is spent and goes nowhere."""
        received = sum(output.amount_minor for output in self.outputs)
        return sum(coin.amount_minor for coin in self.coins) - received


def size_text(number: int) -> bytes:
    """Return a number of variable length (CompactSize)."""
    if number < 0xFD:
        return bytes((number,))
    length, mark = (2, 0xFD) if number <= 0xFFFF else (4, 0xFE)
    return bytes((mark,)) + number.to_bytes(length, "little")


def virtual_size(script: bytes, coins: int, outputs: tuple[bytes, ...]) -> int:
    """Return the size that fees are paid for, at most, with the longest signatures (BIP-141).

    A byte of a witness counts a quarter.
    """
    counts = len(size_text(coins)) + len(size_text(len(outputs))) - 2
    base = _OVERHEAD + counts + coins * _INPUT + sum(9 + len(output) for output in outputs)
    proof = 1 + _SIGNATURE_MAX + 1 + _KEY
    if is_p2wpkh(script):
        return base + -(-(2 + coins * (1 + proof)) // 4)
    return base + coins * proof


def outpoint(coin_id: str) -> bytes:
    """Return the bytes that name a coin. ValueError if the text is no coin's id."""
    transaction_id, _, number = coin_id.partition(":")
    name = bytes.fromhex(transaction_id)
    if len(name) != 32:
        raise ValueError(f"{coin_id} is no coin")
    return name[::-1] + int(number).to_bytes(4, "little")


def encode_output(output: Output) -> bytes:
    """Return the bytes of an output."""
    amount = output.amount_minor.to_bytes(8, "little")
    return amount + size_text(len(output.script)) + output.script


def _encode_outputs(draft: Draft) -> bytes:
    return b"".join(map(encode_output, draft.outputs))


def _encode_plain(draft: Draft, unlocking: list[bytes]) -> bytes:
    """Return the bytes without witnesses, from the scripts that unlock the coins."""
    sequence = SEQUENCE.to_bytes(4, "little")
    inputs = b"".join(
        outpoint(coin.id) + size_text(len(script)) + script + sequence
        for coin, script in zip(draft.coins, unlocking, strict=True)
    )
    return (
        VERSION.to_bytes(4, "little")
        + size_text(len(draft.coins))
        + inputs
        + size_text(len(draft.outputs))
        + _encode_outputs(draft)
        + bytes(4)
    )


def signing_hashes(draft: Draft) -> tuple[bytes, ...]:
    """Return what the owner signs, a hash for each coin. ValueError for coins of other kinds."""
    key_hash = key_hash_of(draft.script)
    if key_hash is None:
        raise ValueError("only coins at P2WPKH and P2PKH addresses can be spent")
    if is_p2wpkh(draft.script):
        return _witness_hashes(draft, key_hash)
    return tuple(_old_hash(draft, position) for position in range(len(draft.coins)))


def _witness_hashes(draft: Draft, key_hash: bytes) -> tuple[bytes, ...]:
    """BIP-143."""
    sequence = SEQUENCE.to_bytes(4, "little")
    points = [outpoint(coin.id) for coin in draft.coins]
    head = VERSION.to_bytes(4, "little") + hash_twice(b"".join(points))
    head += hash_twice(sequence * len(points))
    script = p2pkh_script(key_hash)
    code = size_text(len(script)) + script
    tail = sequence + hash_twice(_encode_outputs(draft)) + bytes(4)
    tail += _SIGHASH_ALL.to_bytes(4, "little")
    return tuple(
        hash_twice(head + point + code + coin.amount_minor.to_bytes(8, "little") + tail)
        for point, coin in zip(points, draft.coins, strict=True)
    )


def _old_hash(draft: Draft, position: int) -> bytes:
    """As before BIP-143: the coin's own script stands where its unlocking script will be."""
    unlocking = [b""] * len(draft.coins)
    unlocking[position] = draft.script
    return hash_twice(_encode_plain(draft, unlocking) + _SIGHASH_ALL.to_bytes(4, "little"))


def encode_signature(signature: bytes) -> bytes:
    """Return r and s in DER (BIP-66), followed by what is signed: all."""
    parts = b""
    for number in (signature[:32], signature[32:64]):
        value = number.lstrip(b"\0") or b"\0"
        value = b"\0" + value if value[0] & 0x80 else value
        parts += b"\x02" + size_text(len(value)) + value
    return b"\x30" + size_text(len(parts)) + parts + bytes((_SIGHASH_ALL,))


def encode_signed(draft: Draft, proofs: list[tuple[bytes, bytes]]) -> tuple[str, bytes]:
    """Return id and final bytes, from each coin's signature (as `encode_signature`) and key."""
    pushed = [_push(signature) + _push(key) for signature, key in proofs]
    if not is_p2wpkh(draft.script):
        raw = _encode_plain(draft, pushed)
        return hash_twice(raw)[::-1].hex(), raw
    plain = _encode_plain(draft, [b""] * len(proofs))
    witnesses = b"".join(b"\x02" + proof for proof in pushed)
    raw = plain[:4] + b"\0\x01" + plain[4:-4] + witnesses + plain[-4:]
    return hash_twice(plain)[::-1].hex(), raw


def _push(data: bytes) -> bytes:
    """Length and bytes: the same in scripts and in witnesses below 76 bytes."""
    return bytes((len(data),)) + data
