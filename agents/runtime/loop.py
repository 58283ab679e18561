"""Work that is done by the clock instead of by records: re-sending, replacing, reconciling, …"""

from __future__ import annotations

from abc import ABC, abstractmethod

from agents.runtime.context import Context


class Loop(ABC):
    """One body repeated every `every_s` seconds by the one worker that holds the lease `name`.

    A worker that dies is followed by another within the lease's time. The body should not assume
    that it is alone: near the end of a lease two may overlap, so it leans on the database.
    """

    name: str
    every_s: float

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    async def run_once(self) -> float | None:
        """Do the work once. Return when it is wanted again, in seconds, if not after `every_s`.

        NodeUnavailable and database outages are retried by the runner.
        """
