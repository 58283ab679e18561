"""A node whose broadcasts go as a test orders: landed, lost, unanswered or late."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from chain_adapters.simulated import SimulatedAdapter, SimulatedChain
from chain_adapters.types import Broadcast, NodeUnavailable, SignedTransaction


class Fate(StrEnum):
    """What becomes of one broadcast."""

    LANDED = "landed"
    NOT_LANDED = "not landed, no answer"
    ANSWER_LOST = "landed, no answer"
    LATE = "no answer, lands later"


class FatefulAdapter(SimulatedAdapter):
    """A simulated node that broadcasts as fate will have it."""

    def __init__(self, chain: SimulatedChain) -> None:
        super().__init__(chain)
        self.fates: deque[Fate] = deque()
        self.late: list[SignedTransaction] = []

    async def broadcast(self, signed: SignedTransaction) -> Broadcast:
        """Send, lose or delay."""
        fate = self.fates.popleft() if self.fates else Fate.LANDED
        if fate is Fate.LATE:
            self.late.append(signed)
        answer = None
        if fate in (Fate.LANDED, Fate.ANSWER_LOST):
            answer = await super().broadcast(signed)
        if answer is None or fate is not Fate.LANDED:
            raise NodeUnavailable(fate.value)
        return answer

    async def land_late(self) -> None:
        """Let what was delayed arrive."""
        late, self.late = self.late, []
        for signed in late:
            await super().broadcast(signed)
