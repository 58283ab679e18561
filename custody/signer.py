"""The signer: the only object that can turn a key path into a signature.

It lives in the signer's process alone. Whoever holds it can spend everything, so it is neither
printed nor pickled nor part of an error's text.
"""

from __future__ import annotations

from typing import NoReturn

from coincurve import PrivateKey

from chain_adapters.types import Curve
from custody.derive import ExtendedKey, parse_key_path, root_key
from custody.errors import CustodyError

PAYLOAD_BYTES = 32


class Signer:
    """Derives keys from one seed, and signs with them.

    Keys are secp256k1 by BIP-32. The keys of branches (all of a path but its last index) are kept,
    so that a child costs one step; signing keys are wiped after each use. See custody.seal for
    what Python cannot promise about memory.
    """

    __slots__ = ("_branches", "_root")

    def __init__(self, seed: bytes | bytearray) -> None:
        """Take a BIP-39 seed. The caller wipes its own copy."""
        self._root = root_key(seed)
        self._branches: dict[tuple[int, ...], ExtendedKey] = {}

    def public_key(self, key_path: str, curve: Curve = Curve.SECP256K1) -> bytes:
        """Return the public key (33 bytes, compressed). Raises BadKeyPath, UnusableKey."""
        key = self._derive(key_path, curve)
        key.wipe()
        return key.public_key

    def sign(self, key_path: str, payload: bytes, curve: Curve = Curve.SECP256K1) -> bytes:
        """Sign a 32-byte hash: r‖s‖v, 65 bytes, v 0 or 1, s in the lower half (EIP-2).

        The nonce is RFC 6979's: the same payload gives the same signature.
        """
        if len(payload) != PAYLOAD_BYTES:
            raise ValueError(f"a signing payload has {PAYLOAD_BYTES} bytes, not {len(payload)}")
        key = self._derive(key_path, curve)
        try:
            return PrivateKey(key.reveal()[0]).sign_recoverable(payload, hasher=None)
        finally:
            key.wipe()

    def close(self) -> None:
        """Wipe all keys. The signer is unusable afterwards."""
        for key in (self._root, *self._branches.values()):
            key.wipe()
        self._branches.clear()

    def _derive(self, key_path: str, curve: Curve) -> ExtendedKey:
        if curve is not Curve.SECP256K1:
            raise CustodyError(f"no derivation for keys of {curve.value}")
        path = parse_key_path(key_path)
        if not path:
            raise CustodyError("the root key itself signs nothing")
        return self._branch(path[:-1]).child(path[-1])

    def _branch(self, path: tuple[int, ...]) -> ExtendedKey:
        if not path:
            return self._root
        if path not in self._branches:
            self._branches[path] = self._root.descend(path)
        return self._branches[path]

    def __repr__(self) -> str:
        return "Signer(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not pickled")
