"""Puts dead letters back where they came from."""

from __future__ import annotations

from collections.abc import Sequence

from sql import stream
from sql.pool import Connection


async def redrive_dead_letters(conn: Connection, ids: Sequence[int] | None) -> list[int]:
    """Publish open dead letters again on their topics, all if `ids` is None; return their ids.

    To be called inside a transaction: marking and publishing happen together or not at all. They
    keep their order among themselves, not with what came since, so stages may meet old records.
    A record without a value has nothing to publish and is only marked.
    """
    letters = sorted(await stream.redrive_dead_letters(conn, ids))
    await stream.fill_outbox(
        conn,
        [
            (topic, (key or b"").decode(errors="replace"), payload)
            for _, _, topic, key, payload in letters
            if payload is not None
        ],
    )
    return [letter[0] for letter in letters]
