"""Puts dead letters back where they came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sql import stream
from sql.pool import Connection
from sql.rescan import oldest_block
from sql.stream import RedrivenLetter
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
    letters = await stream.redrive_dead_letters(conn, ids)
    blocks_topic = topic_prefix + BLOCKS.name
    await _refuse_forgotten(conn, (letter for letter in letters if letter.topic == blocks_topic))
    await stream.fill_outbox(
        conn,
        [
            (letter.topic, (letter.key or b"").decode(errors="replace"), letter.payload)
            for letter in letters
            if letter.payload is not None
        ],
    )
    return [letter.id for letter in letters]


async def _refuse_forgotten(conn: Connection, letters: Iterable[RedrivenLetter]) -> None:
    oldest: dict[str, int | None] = {}
    for letter in letters:
        try:
            block = BLOCKS.decode(letter.payload or b"")
        except Undecodable:
            continue  # it is parked again
        if block.network not in oldest:
            oldest[block.network] = await oldest_block(conn, block.network)
        lowest = oldest[block.network]
        if lowest is not None and block.height < lowest:
            raise ForgottenBlock(letter.id, block)
