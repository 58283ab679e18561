"""Query ids that tell an address's own jetton payments from anybody else's. Pure.

What a jetton payment does not use of the native money sent along comes back as a message of its
own ("excesses", TEP-74), and so does all of it if the payment fails. These carry the query id of
the payment: it holds the payment's expiry and a check of both expiry and sender, so that what
comes back is known as our own change, without asking a node for the history. Whoever forges one
pays money in and gets nothing for it.
"""

from __future__ import annotations

from hashlib import sha256

_DOMAIN = b"millrace jetton payment"


def mark(address: str, valid_until: int) -> int:
    """Return the query id of a jetton payment of an address that expires then."""
    return valid_until << 32 | _check(address, valid_until)


def is_marked(address: str, query_id: int) -> bool:
    """Whether a query id is that of a payment of the address (by chance, 1 in 2^32)."""
    return _check(address, query_id >> 32) == query_id & 0xFFFFFFFF


def _check(address: str, valid_until: int) -> int:
    text = _DOMAIN + address.encode() + valid_until.to_bytes(4)
    return int.from_bytes(sha256(text).digest()[:4])
