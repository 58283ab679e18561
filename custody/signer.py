"""The signer: the only object that can turn a key path into a signature.

It lives in the signer's process alone. Whoever holds it can spend everything, so it is neither
printed nor pickled nor part of an error's text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn, Protocol

from chain_adapters.types import KeyScheme
from custody.bip32 import Secp256k1Keys
from custody.ed25519 import Ed25519Keys, TonKey
from custody.errors import NoMasterSecret


class Keys(Protocol):
    """The keys of one scheme."""

    def public_key(self, key_path: str) -> bytes:
        """Return a public key."""
        ...

    def sign(self, key_path: str, payload: bytes) -> bytes:
        """Return a signature."""
        ...

    def close(self) -> None:
        """Wipe the keys."""
        ...


class Signer:
    """Derives keys from an installation's secrets, and signs with them.

    Signing keys are wiped after each use. See custody.seal for what Python cannot promise about
    memory.
    """

    __slots__ = ("_keys",)

    def __init__(
        self, seed: bytes | bytearray, ton_private_key: bytes | bytearray | None = None
    ) -> None:
        """Take a BIP-39 seed, and TON's key if there is one. The caller wipes its own copies."""
        self._keys: dict[KeyScheme, Keys] = {
            KeyScheme.SECP256K1: Secp256k1Keys(seed),
            KeyScheme.ED25519: Ed25519Keys(seed),
        }
        if ton_private_key is not None:
            self._keys[KeyScheme.TON] = TonKey(ton_private_key)

    def public_key(self, key_path: str, scheme: KeyScheme) -> bytes:
        """Return the public key: 33 bytes (compressed) on secp256k1, 32 on ed25519.

        Raises BadKeyPath, UnusableKey, NoMasterSecret.
        """
        return self._of(scheme).public_key(key_path)

    def sign(self, key_path: str, payload: bytes, scheme: KeyScheme) -> bytes:
        """Sign a payload in the form of the key scheme; the same payload, the same signature.

        secp256k1: 65 bytes r‖s‖v over a 32-byte hash (ValueError if it is none). ed25519 and TON:
        64 bytes over a payload of any length. Raises BadKeyPath, UnusableKey, NoMasterSecret.
        """
        return self._of(scheme).sign(key_path, payload)

    def require(self, schemes: Iterable[KeyScheme]) -> None:
        """Raise NoMasterSecret unless there are keys of all these schemes."""
        for scheme in schemes:
            self._of(scheme)

    def close(self) -> None:
        """Wipe all keys. The signer is unusable afterwards."""
        for keys in self._keys.values():
            keys.close()
        self._keys.clear()

    def _of(self, scheme: KeyScheme) -> Keys:
        if scheme not in self._keys:
            raise NoMasterSecret(
                f"there is no master secret for the keys of a {scheme.value.upper()} network:"
                " run `millrace init`, which makes it and leaves the others as they are"
            )
        return self._keys[scheme]

    def __repr__(self) -> str:
        return "Signer(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not pickled")
