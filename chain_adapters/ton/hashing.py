"""Hashes of cells worked out from their bits, where no cell is needed. Pure.

Source: the TON whitepaper, 3.1.4 and 3.1.5 (representation of an ordinary cell).
"""

from __future__ import annotations

from hashlib import sha256

Ref = tuple[int, bytes]
"""Depth and hash of a cell that is referred to."""


def hash_cell(bits: int, length: int, refs: tuple[Ref, ...] = ()) -> bytes:
    """Return the hash of an ordinary cell with so many bits, given what it refers to."""
    whole = -(-length // 8)
    if length % 8:
        bits = ((bits << 1) | 1) << (8 * whole - length - 1)
    data = bytes([len(refs), length // 8 + whole]) + bits.to_bytes(whole)
    depths = b"".join([depth.to_bytes(2) for depth, _ in refs])
    return sha256(data + depths + b"".join([digest for _, digest in refs])).digest()
