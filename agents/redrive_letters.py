"""Puts dead letters back where they came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sql import stream
from sql.pool import Connection
from sql.rescan import oldest_block
from topics.blocks import BLOCKS, BlockRecord
from topics.topic import Undecodable


class ForgottenBlock(Exception):
    """A record is of a block that is no longer remembered: nobody could tell if it is canonical."""

    def __init__(self, letter_id: int, block: BlockRecord) -> None:
        super().__init__(
            f"dead letter {letter_id} is of block {block.height} of {block.network}, which is no"
            " longer remembered"
        )
        self.block = block


async def redrive_dead_letters(
    conn: Connection, ids: Sequence[int] | None, *, topic_prefix: str
) -> list[int]:
    """Publish open dead letters again on their topics, all if `ids` is None; return their ids.

    To be called inside a transaction, rolled back on an error: marking and publishing happen
    together or not at all. They keep their order among themselves, not with what came since, so
    stages may meet old records. A record without a value has nothing to publish and is only marked.

    Raises ForgottenBlock: match_deposits would take that block for one that left the chain.
    """
    letters = sorted(await stream.redrive_dead_letters(conn, ids))
    records = [letter for letter in letters if letter[4] is not None]
    blocks_topic = topic_prefix + BLOCKS.name
    await _refuse_forgotten(
        conn,
        [(id_, payload) for id_, _, topic, _, payload in records if topic == blocks_topic],
    )
    await stream.fill_outbox(
        conn,
        [
            (topic, (key or b"").decode(errors="replace"), payload or b"")
            for _, _, topic, key, payload in records
        ],
    )
    return [letter[0] for letter in letters]


async def _refuse_forgotten(conn: Connection, records: Iterable[tuple[int, bytes | None]]) -> None:
    oldest: dict[str, int | None] = {}
    for letter_id, payload in records:
        try:
            block = BLOCKS.decode(payload or b"")
        except Undecodable:
            continue  # it is parked again
        if block.network not in oldest:
            oldest[block.network] = await oldest_block(conn, block.network)
        lowest = oldest[block.network]
        if lowest is not None and block.height < lowest:
            raise ForgottenBlock(letter_id, block)
