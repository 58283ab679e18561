"""Runs a stage: batch in, one transaction, retry, dead letter, ack. Judges what goes wrong.

The inbox row of each partition tells the next offset the stage will take. Records below it are
repeats and are dropped. A jump above it means that Kafka's committed offset ran past records that
were never done: those are read again before anything else.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from agents.runtime.context import Context
from agents.runtime.faults import PASSING_FAULTS, RETRY_S_MAX, RETRY_S_MIN
from agents.runtime.record import Log, Record
from agents.runtime.stage import Invalid, InvariantBroken, Stage, Work
from agents.runtime.transact import write_outbox
from metrics import catalogue
from sql import stream
from sql.pool import Connection
from sql.stream import DeadLetter, Inbox, OutboxRow, Partition
from topics.topic import Undecodable

log = structlog.get_logger(__name__)

NOT_THE_RECORDS_FAULT: tuple[type[Exception], ...] = (InvariantBroken, *PASSING_FAULTS)
ATTEMPTS_MAX = 3
"""At a record that fails for a reason nobody foresaw."""
ERROR_CHARS_MAX = 2000


class StageRunner:
    """Does the batches of one stage; never returns with a record undone."""

    def __init__(
        self,
        stage: Stage[Any, Any],
        context: Context,
        cluster_id: str,
        kafka_log: Log,
    ) -> None:
        self.stage = stage
        self.last_progress = time.monotonic()
        self._context = context
        self._cluster_id = cluster_id
        self._log = kafka_log
        self._expected: dict[Partition, int] = {}
        self._reached: dict[Partition, int] = {}
        """The inbox as this process last saw it; it cannot be lower."""
        self._batch_max = min(context.settings.stage_batch_max, stage.batch_max)
        self._turn = asyncio.Lock()
        self._parked_at: deque[float] = deque(maxlen=context.settings.dead_letter_max_minute)
        catalogue.prepare_stage(stage.name)

    async def run(self, records: Sequence[Record]) -> None:
        """Do a batch. Returns once all of it is committed; raises only InvariantBroken."""
        started = time.monotonic()
        async with self._turn:
            await self._redo_before(_starts(records))
            await self._finish(records)
            self._expected.update(_ends(records))
        self.last_progress = time.monotonic()
        self._measure(records, self.last_progress - started)

    async def heal(self, committed: Mapping[Partition, int]) -> None:
        """Do what was skipped below these offsets of the group, even if no record ever follows."""
        async with self._turn:
            ahead = {p: n for p, n in committed.items() if n > self._expected.get(p, 0)}
            await self._redo_before(ahead)
            self._expected.update(ahead)

    def next_offset(self, topic: str, partition: int) -> int:
        """Return the offset this process will do next; 0 before its first batch."""
        return self._expected.get((topic, partition), 0)

    async def _finish(self, records: Sequence[Record]) -> None:
        await self._retry(partial(self._do, records))
        for partition, end in _ends(records).items():
            self._reached[partition] = max(end, self._reached.get(partition, 0))

    async def _retry(self, attempt: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401
        pause_s = RETRY_S_MIN
        while True:
            try:
                return await attempt()
            except PASSING_FAULTS as fault:
                catalogue.stage_retries_total.labels(self.stage.name).inc()
                log.warning("stage waits", stage=self.stage.name, fault=repr(fault)[:300])
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RETRY_S_MAX)

    async def _redo_before(self, starts: Mapping[Partition, int]) -> None:
        """Bring partitions to where a batch starts; nothing to do where the last one ended."""
        for partition, first in starts.items():
            if self._expected.get(partition) != first:
                while batch := await self._retry(partial(self._read_gap, partition, first)):
                    await self._finish(batch)

    async def _read_gap(self, partition: Partition, first: int) -> list[Record]:
        """Return the next batch of what is not done below `first`."""
        async with self._context.pool.acquire() as conn:
            inbox = await stream.open_inbox(conn, self._cluster_id, self.stage.name, partition)
        todo = inbox.next_offset
        self._reach(partition, todo)
        start, end = await self._log.bounds(partition)
        if todo > end or await self._was_replaced(partition, inbox, start):
            raise InvariantBroken(
                f"{self.stage.name} has done {partition} up to offset {todo}, but what it did last"
                f" is not there (it ends at {end}): the topic was made anew. See"
                " docs/operations.md, 'Topics made anew'."
            )
        if 0 < todo < start:
            raise InvariantBroken(
                f"{self.stage.name} needs {partition} from offset {todo}, but Kafka kept it only"
                f" from {start}. See docs/operations.md, 'Retention ran past a stage'."
            )
        if todo == 0 < start:
            log.critical(
                "records are gone that the stage never saw",
                stage=self.stage.name,
                partition=partition,
                kept_from=start,
            )
        if todo >= first:
            return []
        log.warning("offsets skipped, reading again", partition=partition, start=todo, end=first)
        return await self._log.read(partition, max(todo, start), first, self._batch_max)

    async def _was_replaced(self, partition: Partition, inbox: Inbox, start: int) -> bool:
        """Whether Kafka has another record where the last one was that the stage has done."""
        last = inbox.next_offset - 1
        if last < start or inbox.last_ms is None:
            return False
        there = await self._log.read(partition, last, last + 1, 1)
        return any(record.time_ms != inbox.last_ms for record in there)

    def _reach(self, partition: Partition, todo: int) -> None:
        """Raise InvariantBroken if the inbox went back: what was done since is to be done again.

        A process that begins anew reads those records from Kafka; this one would take no notice.
        """
        reached = self._reached.setdefault(partition, todo)
        if todo < reached:
            raise InvariantBroken(
                f"{self.stage.name} has done {partition} up to offset {reached}, but the database"
                f" knows only of {todo}: it lost commits. See docs/operations.md, 'After a restore"
                " that lost commits'."
            )
        self._reached[partition] = todo

    async def _do(self, records: Sequence[Record]) -> None:
        """One attempt at a batch; record by record if one of them cannot be applied."""
        try:
            await self._transact(records)
        except NOT_THE_RECORDS_FAULT:
            raise
        except Exception:
            log.warning("batch taken apart", stage=self.stage.name, exc_info=True)
        else:
            return
        for record in records:
            await self._retry(partial(self._do_alone, record))

    async def _do_alone(self, record: Record) -> None:
        """Apply a record or park it. A fault nobody foresaw gets more chances: it may pass."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                await self._transact([record])
                return
            except NOT_THE_RECORDS_FAULT:
                raise
            except Exception as fault:
                if isinstance(fault, Invalid) or attempt == ATTEMPTS_MAX:
                    await self._park(record, fault)
                    return
            await asyncio.sleep(attempt * RETRY_S_MIN)

    async def _transact(self, records: Sequence[Record]) -> None:
        decoded, letters = self._decode(records)
        prepared = await self.stage.prepare([value for _, value in decoded])
        async with self._context.pool.acquire() as conn:
            async with conn.transaction():
                done = await self._advance_inbox(conn, records)
                fresh = [value for record, value in decoded if record.offset >= done[record.origin]]
                work = Work(conn)
                if fresh:
                    await self.stage.apply(work, fresh, prepared)
                rows = await self._hand_over(done, letters, work)
            work.raise_counters()
            self._context.outlet.offer(rows)  # giving the connection back need not be waited for
        self._limit_parked(len(letters), ours=not self.stage.topic.from_outside)

    def _decode(
        self, records: Sequence[Record]
    ) -> tuple[list[tuple[Record, Any]], list[DeadLetter]]:
        decoded: list[tuple[Record, Any]] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                decoded.append((record, self.stage.topic.decode(record.value or b"")))
            except Undecodable as fault:
                letters.append(self._letter(record, f"Undecodable: {fault}"))
        return decoded, letters

    async def _park(self, record: Record, fault: Exception) -> None:
        trace = (
            ""
            if isinstance(fault, Invalid)
            else "\n" + "".join(traceback.format_tb(fault.__traceback__)[-3:])
        )
        letter = self._letter(record, f"{type(fault).__name__}: {fault}{trace}")
        async with self._context.pool.acquire() as conn:
            async with conn.transaction():
                done = await self._advance_inbox(conn, [record])
                work = Work(conn)
                await self._hand_over(done, [letter], work)
            work.raise_counters()
        self._limit_parked(1)

    async def _advance_inbox(
        self, conn: Connection, records: Sequence[Record]
    ) -> dict[Partition, int]:
        """Return the offsets below which all was done before this transaction."""
        done: dict[Partition, int] = {}
        newest = {x.origin: x for x in sorted(records, key=lambda record: record.offset)}
        for partition, last in sorted(newest.items()):  # one order for all who wait
            inbox = Inbox(last.offset + 1, last.time_ms)
            offset = await stream.advance_inbox(
                conn, self._cluster_id, self.stage.name, partition, inbox
            )
            if offset is None:
                raise InvariantBroken(f"{self.stage.name} has lost its inbox of {partition}")
            self._reach(partition, offset)
            done[partition] = offset
        return done

    async def _hand_over(
        self, done: dict[Partition, int], letters: Sequence[DeadLetter], work: Work
    ) -> list[OutboxRow]:
        fresh = [x for x in letters if x.record_offset >= done[x.topic, x.partition]]
        await stream.park_records(work.conn, fresh)
        work.count(catalogue.dead_letters_total.labels(self.stage.name), len(fresh))
        return await write_outbox(work, self._context.settings.topic_prefix)

    def _letter(self, record: Record, error: str) -> DeadLetter:
        log.error(
            "record parked",
            stage=self.stage.name,
            origin=record.origin,
            offset=record.offset,
            error=error.partition("\n")[0][:300],
        )
        return DeadLetter(
            self.stage.name,
            record.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            error[:ERROR_CHARS_MAX],
        )

    def _limit_parked(self, count: int, *, ours: bool = True) -> None:
        """Raise InvariantBroken if too many letters came of what is likely our fault."""
        if not ours:
            return
        now = time.monotonic()
        self._parked_at.extend([now] * count)
        full = len(self._parked_at) == self._parked_at.maxlen
        if count and full and now - self._parked_at[0] < 60:
            raise InvariantBroken(
                f"{self.stage.name} parked {len(self._parked_at)} records within a minute: the"
                " fault is more likely ours than theirs. Mend it, then 'millrace dlq redrive'."
            )

    def _measure(self, records: Sequence[Record], seconds: float) -> None:
        name = self.stage.name
        oldest = min(record.time_s for record in records)
        catalogue.stage_records_total.labels(name).inc(len(records))
        catalogue.stage_batch_records.labels(name).observe(len(records))
        catalogue.stage_seconds.labels(name).observe(seconds)
        catalogue.stage_record_age_seconds.labels(name).observe(max(0.0, time.time() - oldest))


def _starts(records: Sequence[Record]) -> dict[Partition, int]:
    starts: dict[Partition, int] = {}
    for record in records:
        starts[record.origin] = min(record.offset, starts.get(record.origin, record.offset))
    return starts


def _ends(records: Sequence[Record]) -> dict[Partition, int]:
    ends: dict[Partition, int] = {}
    for record in records:
        ends[record.origin] = max(record.offset + 1, ends.get(record.origin, 0))
    return ends
