"""What custody writes through: it knows nothing of the pipeline, whose transactions these are."""

from __future__ import annotations

from typing import Protocol

from prometheus_client import Counter

from sql.pool import Connection
from topics.topic import Emitter


class Outgoing(Emitter, Protocol):
    """A transaction and what is told if it commits: agents.runtime.stage.Work is one."""

    @property
    def conn(self) -> Connection:
        """The transaction's connection."""
        ...

    def count(self, counter: Counter, amount: float = 1) -> None:
        """Raise `counter` when, and only if, the transaction commits."""
        ...
