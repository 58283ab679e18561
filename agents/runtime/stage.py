"""What every stage is: records of one topic in, one Postgres transaction, records out.

A stage promises: each record is applied at least once, and what it wrote, the inbox row and the
outbox rows commit together. It does not promise exactly once: `apply` must lean on unique
business keys. Callers should not assume that a batch is a block, or that batches are full.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from prometheus_client import Counter

from sql.pool import Connection
from topics.topic import EmittedT, RecordT, Topic

PreparedT = TypeVar("PreparedT")


class Retryable(Exception):
    """The world is not ready (node, database, broker away): the same batch is tried again."""


class Invalid(Exception):
    """This record can never be applied; it is parked as a dead letter and the rest goes on."""


class InvariantBroken(Exception):
    """Something that must never happen has happened: the process ends at once."""


class Work:
    """One transaction of a stage: its connection, and what to publish and count once it commits."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.outbox: list[tuple[str, str, bytes]] = []
        self._counts: list[tuple[Counter, float]] = []

    def emit(self, topic: Topic[EmittedT], key: str, record: EmittedT) -> None:
        """Publish `record` when, and only if, this transaction commits."""
        self.outbox.append((topic.name, key, topic.encode(record)))

    def count(self, counter: Counter, amount: float = 1) -> None:
        """Raise `counter` when, and only if, this transaction commits: it may be done again."""
        self._counts.append((counter, amount))

    def raise_counters(self) -> None:
        """Raise what was counted. For whoever opened the transaction, right after its commit."""
        for counter, amount in self._counts:
            counter.inc(amount)


class Stage(ABC, Generic[RecordT, PreparedT]):
    """One step of the pipeline; one file in agents/ each."""

    name: str
    topic: Topic[RecordT]
    batch_max: int = 200
    """Records in a transaction. Fewer where a record is large, so that the next stage can begin."""

    async def start(self) -> None:
        """Load what the stage keeps in memory. Called once, before the first batch."""

    @abstractmethod
    async def prepare(self, records: Sequence[RecordT]) -> PreparedT:
        """Ask the outside world (nodes), before the transaction. May be repeated, or in vain."""

    @abstractmethod
    async def apply(self, work: Work, records: Sequence[RecordT], prepared: PreparedT) -> None:
        """Decide and write, inside the transaction. Raises Retryable, Invalid, InvariantBroken."""


class LocalStage(Stage[RecordT, None]):
    """A stage that needs nothing but its records and the database."""

    async def prepare(self, records: Sequence[RecordT]) -> None:
        """Nothing to ask."""
