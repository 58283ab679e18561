"""Memos: "id:123", "text:abc", "hash:<hex>", "return:<hex>". Id 1 is not text "1".

A text on the chain that is not UTF-8, or has zero bytes in it, is told as "bytes:<hex>": it can
be seen, but nobody is given such a memo.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable

from chain_adapters.stellar.wire import WireTransaction
from chain_adapters.types import InvalidMemo, NodeUnavailable

TEXT_BYTES_MAX = 28
"""Length of a text memo (developers.stellar.org, Memos)."""

_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_HASH = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


def number_memo(number: int) -> str:
    """Return the canonical memo of a number."""
    return f"id:{number}"


def parse_memo(text: str) -> str:
    """Return the canonical form of what a user gives as memo, or raise InvalidMemo.

    A text without a type is a text memo; digits without one are ambiguous, and so is a type that is
    spelt otherwise: "ID:5" as a text would reach nobody. So would what was copied with something
    that cannot be seen: an invisible character, or space around it.
    """
    kind, colon, value = text.partition(":")
    if colon and (parse := _PARSERS.get(kind)) is not None:
        return parse(value)
    if colon and kind.strip().lower() in _PARSERS:
        raise InvalidMemo(f'write "{kind.strip().lower()}:…", or "text:{kind}:…" if it is a text')
    if text.strip().isdecimal():
        raise InvalidMemo('digits may be two kinds of memo: write "id:…" or "text:…"')
    if _HASH.fullmatch(text.strip()):
        raise InvalidMemo('64 hex digits may be two kinds of memo: write "hash:…" or "return:…"')
    if text != text.strip() or not text.isprintable():
        raise InvalidMemo(
            'it has space around it or characters that cannot be seen: write "text:…"'
        )
    return _parse_text(text)


def _parse_id(value: str) -> str:
    if not _NUMBER.fullmatch(value.strip()) or int(value) >= 2**64:
        raise InvalidMemo("an id is a whole number below 2^64")
    return number_memo(int(value))


def _parse_text(value: str) -> str:
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidMemo("the text is not valid Unicode") from None
    if not 0 < length <= TEXT_BYTES_MAX or "\0" in value:
        raise InvalidMemo(f"a text memo has 1 to {TEXT_BYTES_MAX} bytes, none of them zero")
    return "text:" + value


def _parse_hash(value: str) -> str:
    if not _HASH.fullmatch(value.strip()):
        raise InvalidMemo("a hash is 64 hexadecimal digits")
    return value.strip().lower()


_PARSERS: dict[str, Callable[[str], str]] = {
    "id": _parse_id,
    "text": _parse_text,
    "hash": lambda value: "hash:" + _parse_hash(value),
    "return": lambda value: "return:" + _parse_hash(value),
}


def memo_of(transaction: WireTransaction) -> str | None:
    """Return a transaction's memo as read from Horizon; NodeUnavailable if it is not as it should.

    Hashes come as base64. A text comes as its bytes too, which matter where it is not UTF-8.
    """
    kind, memo = transaction.memo_type, transaction.memo
    if kind == "none":
        return None
    if kind == "text":
        return show_text(text_bytes(transaction))
    if kind == "id" and memo is not None and _NUMBER.fullmatch(memo) and int(memo) < 2**64:
        return number_memo(int(memo))
    if kind in {"hash", "return"} and memo is not None:
        digest = decode_base64(memo)
        if len(digest) == 32:
            return f"{kind}:{digest.hex()}"
    raise NodeUnavailable("a memo does not have the form of its type")


def text_bytes(transaction: WireTransaction) -> bytes:
    """Return the bytes of a text memo; an empty one may be left out."""
    if transaction.memo_bytes is not None:
        found = decode_base64(transaction.memo_bytes)
        if (
            found.decode(errors="ignore")
            == found.decode(errors="replace")
            != (transaction.memo or "")
        ):
            raise NodeUnavailable("a text memo and its bytes are not the same")
    else:
        found = (transaction.memo or "").encode()
    if len(found) > TEXT_BYTES_MAX:
        raise NodeUnavailable("a text memo is too long")
    return found


def show_text(content: bytes) -> str:
    """Return the canonical memo of a text's bytes."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "bytes:" + content.hex()
    return "bytes:" + content.hex() if "\0" in text else "text:" + text


def decode_base64(text: str) -> bytes:
    """Return the bytes, or raise NodeUnavailable."""
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise NodeUnavailable("a memo is not base64") from None
