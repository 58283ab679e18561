"""Memos of TON are text comments."""

from __future__ import annotations

from chain_adapters.ton.cells import MEMO_BYTES_MAX
from chain_adapters.types import InvalidMemo

_OTHER_KINDS = ("id:", "hash:", "return:")


def parse_memo(text: str) -> str | None:
    """Return the canonical memo "text:…" of what users paste, None of nothing but spaces.

    Raises InvalidMemo for other kinds of memo, for texts that are too long, and for those that
    would not be read back as they were sent.
    """
    if text.strip().startswith(_OTHER_KINDS):
        raise InvalidMemo('memos of TON are text: write "text:" before it if that is what is meant')
    comment = text.strip().removeprefix("text:").strip()
    if not comment:
        return None
    if len(comment.encode()) > MEMO_BYTES_MAX:
        raise InvalidMemo(f"a memo of TON has at most {MEMO_BYTES_MAX} bytes here")
    if "\0" in comment:
        raise InvalidMemo("a memo has no NUL characters")
    return "text:" + comment
