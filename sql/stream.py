"""Inbox, outbox, dead letters and leases: what lets a stage be killed at any point."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import cramjam

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("stream")

PACKING_LEVEL = 1
"""The quickest that leaves a sixth of a batch of events; packing takes 1 us an event."""
PACKED_BYTES_MIN = 1500
"""Less is quicker to write plain than to pack; much more would leave its row for another table."""
ZSTD: Final = b"\x28\xb5\x2f\xfd"
"""What a zstd frame begins with (RFC 8878, 3.1.1)."""

Partition = tuple[str, int]
"""Topic and partition."""
NOWHERE: Final = -1
"""Partition and offset of a dead letter that was never a record in Kafka."""


class Inbox(NamedTuple):
    """What a stage has done of a partition."""

    next_offset: int
    """The next one the stage will take; 0 if it never took one."""
    last_ms: int | None
    """The time that Kafka has for the record before, in ms since 1970; None if there is none."""


class OutboxRow(NamedTuple):
    """A record to be published."""

    id: int
    topic: str
    key: str
    payload: bytes


class DeadLetter(NamedTuple):
    """A record no stage could use; `error` says why."""

    stage: str
    topic: str
    partition: int
    record_offset: int
    key: bytes | None
    payload: bytes | None
    error: str


class StoredDeadLetter(NamedTuple):
    """A dead letter as it is kept."""

    id: int
    letter: DeadLetter
    created_at: datetime


class RedrivenLetter(NamedTuple):
    """What is published again of a dead letter."""

    id: int
    topic: str
    key: bytes | None
    payload: bytes | None


class OutboxMeasure(NamedTuple):
    """How much waits to be published, and for how long."""

    depth: int
    oldest_s: float


async def open_inbox(conn: Connection, cluster_id: str, stage: str, partition: Partition) -> Inbox:
    """Return what the stage has done of a partition."""
    row = await _queries.open_inbox(
        conn, cluster_id=cluster_id, stage=stage, topic=partition[0], partition=partition[1]
    )
    return Inbox(*row)


async def advance_inbox(
    conn: Connection, cluster_id: str, stage: str, partition: Partition, done: Inbox
) -> int | None:
    """Lock the inbox row of a partition, move it on to `done`, and return its next offset before.

    It never goes back. None if the partition was never opened.
    """
    offset_before: int | None = await _queries.advance_inbox(
        conn,
        cluster_id=cluster_id,
        stage=stage,
        topic=partition[0],
        partition=partition[1],
        next_offset=done.next_offset,
        last_ms=done.last_ms,
    )
    return offset_before


async def fill_outbox(
    conn: Connection, records: Sequence[tuple[str, str, bytes]]
) -> list[OutboxRow]:
    """Add (Kafka topic, key, payload) records in order; return them as rows.

    Long payloads are packed: most of what a stage writes is the names of JSON's fields, over and
    over.
    """
    if not records:
        return []
    topics, keys, payloads = zip(*records, strict=True)
    rows = await _queries.fill_outbox(
        conn,
        topics=list(topics),
        keys=list(keys),
        payloads=list(map(_pack, payloads)),
    )
    return [OutboxRow(row["id"], *record) for row, record in zip(rows, records, strict=True)]


async def read_outbox(
    conn: Connection, older_than_s: float, limit_rows: int, but_for: Collection[str] = ()
) -> list[OutboxRow]:
    """Return the oldest records that are older than so many seconds, `but_for` those of topics."""
    rows = await _queries.read_outbox(
        conn, older_than_s=older_than_s, limit_rows=limit_rows, but_for=list(but_for)
    )
    return [OutboxRow(row_id, topic, key, _unpack(kept)) for row_id, topic, key, kept in rows]


def _pack(payload: bytes) -> bytes:
    """Return what is kept of a payload: a short one itself, unless it looks like a packed one."""
    if len(payload) < PACKED_BYTES_MIN and not payload.startswith(ZSTD):
        return payload
    return bytes(cramjam.zstd.compress(payload, PACKING_LEVEL))


def _unpack(kept: bytes) -> bytes:
    return bytes(cramjam.zstd.decompress(kept)) if kept.startswith(ZSTD) else kept


async def delete_outbox(conn: Connection, ids: Sequence[int]) -> None:
    """Drop published records.

    Not for a transaction with other effects: its commit does not wait for the disk.
    """
    await _queries.delete_outbox(conn, ids=list(ids))


async def measure_outbox(conn: Connection) -> OutboxMeasure:
    """Return how much waits and for how long."""
    return OutboxMeasure(*await _queries.measure_outbox(conn))


async def used_topics(conn: Connection) -> list[str]:
    """Return the topics that stages have read or that records wait to be published to."""
    return [row["topic"] for row in await _queries.used_topics(conn)]


async def park_records(conn: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep dead letters; all are of one stage."""
    if not letters:
        return
    await _queries.park_records(
        conn,
        stage=letters[0].stage,
        topics=[letter.topic for letter in letters],
        partitions=[letter.partition for letter in letters],
        record_offsets=[letter.record_offset for letter in letters],
        keys=[letter.key for letter in letters],
        payloads=[letter.payload for letter in letters],
        errors=[letter.error for letter in letters],
    )


async def list_dead_letters(conn: Connection, limit_rows: int) -> list[StoredDeadLetter]:
    """Return open dead letters, oldest first."""
    rows = await _queries.list_dead_letters(conn, limit_rows=limit_rows)
    return [StoredDeadLetter(row[0], DeadLetter(*row[1:8]), row[8]) for row in rows]


async def find_dead_letter(conn: Connection, letter_id: int) -> StoredDeadLetter | None:
    """Return an open dead letter by its id."""
    row = await _queries.find_dead_letter(conn, letter_id=letter_id)
    return None if row is None else StoredDeadLetter(row[0], DeadLetter(*row[1:8]), row[8])


async def redrive_dead_letters(conn: Connection, ids: Sequence[int] | None) -> list[RedrivenLetter]:
    """Mark open dead letters redriven, all if `ids` is None; return them by id."""
    rows = await _queries.redrive_dead_letters(conn, ids=None if ids is None else list(ids))
    return sorted(RedrivenLetter(*row) for row in rows)


async def discard_dead_letters(conn: Connection, ids: Sequence[int]) -> list[int]:
    """Mark those of these dead letters discarded that are open; return their ids in order."""
    rows = await _queries.discard_dead_letters(conn, ids=list(ids))
    return sorted(row[0] for row in rows)


async def count_dead_letters(conn: Connection) -> int:
    """Return how many dead letters are open."""
    return int(await _queries.count_dead_letters(conn))


async def take_lease(conn: Connection, name: str, holder: UUID, lease_s: float) -> bool:
    """Take the lease; False if somebody else holds it."""
    taken = await _queries.take_lease(conn, name=name, holder=holder, lease_s=lease_s)
    return taken is not None


async def renew_lease(conn: Connection, name: str, holder: UUID, lease_s: float) -> bool:
    """Keep the lease; False if somebody else has had it since."""
    kept = await _queries.renew_lease(conn, name=name, holder=holder, lease_s=lease_s)
    return kept is not None


async def hold_lease(conn: Connection, name: str, holder: UUID) -> bool:
    """Whether `holder` has the lease; it then stays so until the transaction ends."""
    return await _queries.hold_lease(conn, name=name, holder=holder) is not None


async def release_lease(conn: Connection, name: str, holder: UUID) -> None:
    """Give the lease up."""
    await _queries.release_lease(conn, name=name, holder=holder)
