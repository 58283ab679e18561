"""Records as Kafka delivers and keeps them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sql.stream import Partition


class Record(NamedTuple):
    """A record as Kafka delivered it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    time_s: float

    @property
    def origin(self) -> Partition:
        """The partition it came from."""
        return self.topic, self.partition

    @property
    def time_ms(self) -> int:
        """Its time as Kafka has it, since 1970."""
        return round(self.time_s * 1000)


class Log(Protocol):
    """Kafka's log of a partition, read beside the consumer group."""

    async def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return the first offset that is kept and the one the next record will get."""
        ...

    async def read(
        self, partition: Partition, start: int, end: int, records_max: int
    ) -> list[Record]:
        """Return the records from `start` up to, not including, `end`, in order.

        Of more than `records_max` only the first; none only if there are none.
        """
        ...
