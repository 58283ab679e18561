"""Small secrets kept in the database, such as those of webhooks: sealed at microseconds a call."""

from __future__ import annotations

import os
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custody.errors import BadEnvelope, WrongKey
from custody.seal import ITERATIONS, NONCE_BYTES, TAG_BYTES, derive_key

_SALT = b"millrace/secret-box/1"
"""Fixed, because every process must come to the same key without asking the database.

So equal passphrases give equal keys: the passphrase should be random, not a word.
"""
_VERSION = b"\x01"


class SecretBox:
    """AES-256-GCM under one key, made once from a passphrase.

    The key differs from those of custody.seal, which have random salts. Random 12-byte nonces are
    sound for 2^32 secrets (NIST SP 800-38D, 8.3).
    """

    __slots__ = ("_cipher",)

    def __init__(self, passphrase: str, *, iterations: int = ITERATIONS) -> None:
        """Derive the key: about 0.2 s, so once a process."""
        self._cipher = AESGCM(derive_key(passphrase, _SALT, iterations))

    def encrypt(self, secret: bytes, purpose: str) -> bytes:
        """Return version, nonce, ciphertext and tag. Never twice the same bytes."""
        nonce = os.urandom(NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret, _VERSION + purpose.encode())

    def decrypt(self, sealed: bytes, purpose: str) -> bytes:
        """Return the secret. Raises WrongKey or BadEnvelope."""
        if sealed[:1] != _VERSION or len(sealed) < 1 + NONCE_BYTES + TAG_BYTES:
            raise BadEnvelope("not a sealed secret of a known version")
        nonce, ciphertext = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, ciphertext, _VERSION + purpose.encode())
        except InvalidTag:
            raise WrongKey(f"the key does not open the secret kept for {purpose!r}") from None

    def __repr__(self) -> str:
        return "SecretBox(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SecretBox is not pickled")
