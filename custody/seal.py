"""Sealing a secret for storage: AES-256-GCM under a key made from a passphrase by PBKDF2.

Envelope, version 1: b"MR", version (1 byte), PBKDF2 iterations (4 bytes, big-endian), salt (16),
nonce (12), ciphertext with its 16-byte tag. Salt and nonce are random for every sealing. The
associated data is the envelope's head and the purpose, so that a secret cannot be used in the
place of another. Iterations: OWASP Password Storage Cheat Sheet, PBKDF2-HMAC-SHA256.

Not promised: that the passphrase and the AES key leave no copy in memory. Python's str and bytes
cannot be overwritten, and OpenSSL and the interpreter make copies of their own. What is in a
bytearray is wiped; the rest is gone when the process ends.
"""

from __future__ import annotations

import hashlib
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custody.errors import BadEnvelope, WrongKey

ITERATIONS = 600_000
ITERATIONS_MAX = 10_000_000
"""An envelope that asks for more is refused: it would only keep the processor busy."""
KEY_BYTES = 32
SALT_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16

_MAGIC = b"MR"
_VERSION = 1
_HEAD = struct.Struct(f">2sBI{SALT_BYTES}s{NONCE_BYTES}s")


def derive_key(passphrase: str, salt: bytes, iterations: int = ITERATIONS) -> bytes:
    """Return 32 bytes by PBKDF2-HMAC-SHA256 (RFC 8018). Takes about 0.2 s by intention."""
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, iterations, KEY_BYTES)


def seal(passphrase: str, secret: bytes, purpose: str, iterations: int = ITERATIONS) -> bytes:
    """Return the envelope of `secret`. Never twice the same bytes."""
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    head = _HEAD.pack(_MAGIC, _VERSION, iterations, salt, nonce)
    cipher = AESGCM(derive_key(passphrase, salt, iterations))
    return head + cipher.encrypt(nonce, secret, head + purpose.encode())


def unseal(passphrase: str, envelope: bytes, purpose: str) -> bytearray:
    """Return the secret, for the caller to wipe. Raises WrongKey or BadEnvelope."""
    head = envelope[: _HEAD.size]
    iterations, salt, nonce = _read_head(envelope)
    cipher = AESGCM(derive_key(passphrase, salt, iterations))
    try:
        return bytearray(cipher.decrypt(nonce, envelope[_HEAD.size :], head + purpose.encode()))
    except InvalidTag:
        raise WrongKey(f"the key does not open the secret kept for {purpose!r}") from None


def wipe(secret: bytearray) -> None:
    """Overwrite with zeros, in place."""
    secret[:] = bytes(len(secret))


def _read_head(envelope: bytes) -> tuple[int, bytes, bytes]:
    if len(envelope) < _HEAD.size + TAG_BYTES:
        raise BadEnvelope("the sealed secret is too short")
    magic, version, iterations, salt, nonce = _HEAD.unpack_from(envelope)
    if magic != _MAGIC or version != _VERSION:
        raise BadEnvelope("not a sealed secret of a known version")
    if not 0 < iterations <= ITERATIONS_MAX:
        raise BadEnvelope(f"the sealed secret asks for {iterations} iterations")
    return iterations, salt, nonce
