"""Arrays as Postgres writes them, to be cast in the query: `unnest(:heights::text::bigint [])`.

For arrays of thousands: asyncpg looks at each item of a list in Python, which takes five times as
long as all the rest. Only for what is read once, as by unnest: a condition such as `= any(…)` may
read the text again for every row.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

_encoder = msgspec.json.Encoder()


def array_literal(items: Iterable[str | int | None]) -> str:
    """Return items as the text of an array; None is NULL."""
    text = _encoder.encode(items)[1:-1].decode()
    if "\\" in text:  # JSON has escapes that Postgres has not, such as that of a line break
        text = ",".join(map(_quote, items))
    return "{" + text + "}"


def _quote(item: str | int | None) -> str:
    if item is None:
        return "NULL"
    return '"' + str(item).replace("\\", "\\\\").replace('"', '\\"') + '"'
