"""Checking signatures on secp256k1, as Ethereum and TRON have them."""

from __future__ import annotations

import coincurve

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""The curve's order halved. A larger s is not valid on Ethereum (EIP-2), and not made on TRON."""


def recover_key(signature: bytes, payload: bytes) -> bytes:
    """Return the compressed public key that signed the payload; ValueError if none did.

    The signature is 65 bytes r‖s‖v with v 0 or 1, in low-s form.
    """
    if len(signature) != 65 or signature[64] > 1:
        raise ValueError("a signature is 65 bytes, the last one 0 or 1")
    if int.from_bytes(signature[32:64]) > HALF_ORDER:
        raise ValueError("the signature is not in low-s form")
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature, payload, hasher=None)
    except Exception:  # coincurve raises a bare Exception where no key can be recovered
        raise ValueError("the signature does not recover to a key") from None
    return key.format()
