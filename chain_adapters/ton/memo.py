"""Memos of TON are text comments."""

from __future__ import annotations

from chain_adapters.ton.cells import MEMO_BYTES_MAX
from chain_adapters.types import InvalidMemo

_OTHER_KINDS = ("id:", "hash:", "return:")
_TEXT = "text:"


def parse_memo(text: str) -> str | None:
    """Return the canonical memo "text:…" of what users paste, None of nothing but spaces.

    Raises InvalidMemo for other kinds of memo, for texts that are too long, for those that would
    not be read back as they were sent, and for invisible characters, which are copied by mistake
    and make another memo, unless "text:" says that they are meant.
    """
    said = text.strip()
    misspelt = said.lower().startswith(_TEXT) and not said.startswith(_TEXT)
    if misspelt or said.lower().startswith(_OTHER_KINDS):
        raise InvalidMemo('memos of TON are text: write "text:" before it if that is what is meant')
    comment = said.removeprefix(_TEXT).strip()
    if not comment:
        return None
    try:
        length = len(comment.encode())
    except UnicodeEncodeError:
        raise InvalidMemo("the text is not valid Unicode") from None
    if length > MEMO_BYTES_MAX:
        raise InvalidMemo(f"a memo of TON has at most {MEMO_BYTES_MAX} bytes here")
    if "\0" in comment:
        raise InvalidMemo("a memo has no NUL characters")
    if not (comment.isprintable() or said.startswith(_TEXT)):
        raise InvalidMemo('it has characters that cannot be seen: write "text:" before it')
    return _TEXT + comment
