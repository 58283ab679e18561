"""The set of watched addresses of a network, small and quick enough for tens of millions.

One bit for each address in a bitmap with at least 32 bits an address: a probe that finds no bit
is certain, one that finds a bit is asked of Postgres. Nothing watched is ever missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

BITS_PER_ADDRESS: Final = 32
FEW: Final = 16
"""So many are looked up one by one before numpy has begun."""
_CAPACITY_MIN: Final = 1 << 16

Hashes = npt.NDArray[np.uint64]


def hash_addresses(addresses: Iterable[str], count: int) -> Hashes:
    """Return the process's own keyed hash of each address: nobody outside can aim at a bit."""
    return np.fromiter(map(hash, addresses), dtype=np.int64, count=count).view(np.uint64)


class WatchedAddresses:
    """A growing set that answers "surely not" or "perhaps"."""

    def __init__(self) -> None:
        self._hashes: Hashes = np.empty(_CAPACITY_MIN, dtype=np.uint64)
        self._count = 0
        self._rebuild()

    def __len__(self) -> int:
        """How many addresses were added, repeats included."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """Memory held by the set."""
        return self._hashes.nbytes + self._bits.nbytes

    def add(self, addresses: Sequence[str]) -> None:
        """Watch more addresses."""
        new = hash_addresses(addresses, len(addresses))
        self._reserve(self._count + len(new))
        self._hashes[self._count : self._count + len(new)] = new
        self._count += len(new)
        self._set_bits(new)

    def maybe(self, addresses: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return for each address whether it may be watched. False is certain."""
        positions = hash_addresses(addresses, len(addresses)) & self._mask
        bytes_hit = self._bits[positions >> np.uint64(3)]
        bits = (bytes_hit >> (positions & np.uint64(7)).astype(np.uint8)) & np.uint8(1)
        result: npt.NDArray[np.bool_] = bits.astype(np.bool_)
        return result

    def find(self, addresses: Sequence[str]) -> list[int]:
        """Return the positions of those that may be watched, in order."""
        if len(addresses) > FEW:
            return self.maybe(addresses).nonzero()[0].tolist()
        mask, bits = int(self._mask), self._bits
        places = [hash(address) & mask for address in addresses]
        return [n for n, place in enumerate(places) if bits.item(place >> 3) >> (place & 7) & 1]

    def _reserve(self, count: int) -> None:
        if count <= len(self._hashes):
            return
        grown: Hashes = np.empty(max(count, len(self._hashes) * 3 // 2), dtype=np.uint64)
        grown[: self._count] = self._hashes[: self._count]
        self._hashes = grown
        if len(grown) * BITS_PER_ADDRESS > len(self._bits) * 8:
            self._rebuild()

    def _rebuild(self) -> None:
        bits = 1 << (len(self._hashes) * BITS_PER_ADDRESS // 2).bit_length()
        self._mask = np.uint64(bits - 1)
        self._bits = np.zeros(bits // 8, dtype=np.uint8)
        self._set_bits(self._hashes[: self._count])

    def _set_bits(self, hashes: Hashes) -> None:
        positions = hashes & self._mask
        masks = np.left_shift(1, (positions & np.uint64(7)).astype(np.uint8)).astype(np.uint8)
        np.bitwise_or.at(self._bits, positions >> np.uint64(3), masks)
