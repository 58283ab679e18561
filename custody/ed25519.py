"""Keys on ed25519: all those of one seed by SLIP-10, and the single one of a TON mnemonic.

Signatures are RFC 8032's: 64 bytes over a payload of any length, always the same for the same key
and payload. Checked against the vectors of SLIP-10 and SEP-5. libsodium, by PyNaCl's bindings:
twice as quick as OpenSSL here. It takes keys as bytes, of which copies are gone when they are freed
and not wiped before (see custody.seal).
"""

from __future__ import annotations

import hmac
from typing import NoReturn

from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from custody.errors import BadKeyPath, CustodyError
from custody.key_path import HARDENED, parse_key_path
from custody.seal import wipe

KEY_BYTES = 32


class Ed25519Keys:
    """All keys of one seed. A step costs one hash, so that nothing but the root is kept."""

    __slots__ = ("_root",)

    def __init__(self, seed: bytes | bytearray) -> None:
        self._root = _hash(b"ed25519 seed", bytes(seed))

    def public_key(self, key_path: str) -> bytes:
        """Return the public key, 32 bytes."""
        return _public_key(self._derive(key_path))

    def sign(self, key_path: str, payload: bytes) -> bytes:
        """Sign a payload of any length: 64 bytes."""
        return _sign(self._derive(key_path), payload)

    def close(self) -> None:
        """Wipe the root."""
        wipe(self._root)

    def _derive(self, key_path: str) -> bytearray:
        path = parse_key_path(key_path)
        if not path:
            raise CustodyError("the root key itself signs nothing")
        if min(path) < HARDENED:
            raise BadKeyPath(f"{key_path!r} has a step that is not hardened: ed25519 has no such")
        return _descend(self._root, path)

    def __repr__(self) -> str:
        return "Ed25519Keys(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("private keys are not pickled")


class TonKey:
    """The one key of a TON mnemonic. Key paths number its wallets: each has this same key."""

    __slots__ = ("_private_key", "_public_key")

    def __init__(self, private_key: bytes | bytearray) -> None:
        """Take the 32 bytes that RFC 8032 calls the private key. The caller wipes its own copy."""
        if len(private_key) != KEY_BYTES:
            raise ValueError(f"a private key has {KEY_BYTES} bytes, not {len(private_key)}")
        self._private_key = bytearray(private_key)
        self._public_key = _public_key(bytearray(private_key))

    def public_key(self, key_path: str) -> bytes:
        """Return the public key, 32 bytes, the same for every path."""
        parse_key_path(key_path)
        return self._public_key

    def sign(self, key_path: str, payload: bytes) -> bytes:
        """Sign a payload of any length: 64 bytes."""
        parse_key_path(key_path)
        return _sign(bytearray(self._private_key), payload)

    def close(self) -> None:
        """Wipe the key."""
        wipe(self._private_key)

    def __repr__(self) -> str:
        return "TonKey(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("private keys are not pickled")


def _descend(root: bytearray, path: tuple[int, ...]) -> bytearray:
    """Return the private key at the end of a path of hardened steps; those between are wiped."""
    node = bytearray(root)
    for index in path:
        parent, node = node, _hash(node[32:], b"\0" + node[:32] + index.to_bytes(4, "big"))
        wipe(parent)
    private_key = node[:32]
    wipe(node)
    return private_key


def _hash(chain_code: bytes | bytearray, message: bytes | bytearray) -> bytearray:
    """Return private key and chain code, 32 bytes each, in one piece."""
    return bytearray(hmac.digest(bytes(chain_code), bytes(message), "sha512"))


def _public_key(private_key: bytearray) -> bytes:
    """Return the public key; the private one is wiped."""
    try:
        return crypto_sign_seed_keypair(bytes(private_key))[0]
    finally:
        wipe(private_key)


def _sign(private_key: bytearray, payload: bytes) -> bytes:
    """Return the signature; the private key is wiped."""
    try:
        _, pair = crypto_sign_seed_keypair(bytes(private_key))
        return crypto_sign(payload, pair)[:crypto_sign_BYTES]
    finally:
        wipe(private_key)
