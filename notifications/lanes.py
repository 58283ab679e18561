"""Which claimed delivery is sent next: one lane an endpoint, so that none waits for another.

An endpoint that answers gets more and more requests at a time; one that fails gets a single one,
as a probe, and what else was claimed for it is given back. Tenants take turns, and none may have
more requests under way than would be left free: so there is always room for one more tenant,
however many endpoints of others hang. All of it is memory and arithmetic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sql.notifications import Claim

WINDOW_FIRST = 4
"""Requests at a time to an endpoint of which nothing bad is known."""
CLAIMS_PER_WINDOW = 8
"""Deliveries held for an endpoint for each request it may have at a time."""
LANES_MAX = 4096
"""Idle lanes are forgotten above this number."""


@dataclass(slots=True)
class Party:
    """A tenant: its lanes that have something to send, in turn."""

    turns: deque[Lane] = field(default_factory=deque)
    flying: int = 0
    queued: int = 0
    in_line: bool = False

    @property
    def held(self) -> int:
        """Deliveries of this tenant in this worker's hands."""
        return self.flying + self.queued

    def next_lane(self) -> Lane | None:
        """Return the lane whose turn it is, taken out of the line; None if none may send."""
        while self.turns:
            lane = self.turns.popleft()
            lane.in_line = False
            if lane.can_send:
                return lane
        return None


@dataclass(slots=True)
class Lane:
    """One endpoint as this worker sees it."""

    party: Party
    window: int
    failing: bool
    queue: deque[Claim] = field(default_factory=deque)
    flying: int = 0
    in_line: bool = False
    blocked: bool = False
    """It failed and that is not written down yet: it may be gone, or have asked for a pause."""

    @property
    def held(self) -> int:
        """Deliveries of this endpoint in this worker's hands."""
        return len(self.queue) + self.flying

    @property
    def room(self) -> int:
        """How many more may be claimed for it."""
        most = self.window * CLAIMS_PER_WINDOW if self.window > 1 else 1
        return 0 if self.blocked else max(0, most - self.held)

    @property
    def can_send(self) -> bool:
        """Whether it has something to send and may."""
        return bool(self.queue) and self.flying < self.window


class Lanes:
    """All endpoints this worker has anything for. `flying` counts requests under way.

    `flying_max` is for one tenant; all together have at most twice as many.
    """

    def __init__(self, flying_max: int, window_max: int) -> None:
        self._flying_max = flying_max
        self._window_max = window_max
        self._lanes: dict[str, Lane] = {}
        self._parties: dict[str, Party] = {}
        self._line: deque[Party] = deque()
        self.flying = 0
        self.queued = 0

    @property
    def held(self) -> int:
        """Deliveries in this worker's hands."""
        return self.flying + self.queued

    def add(self, claims: Iterable[Claim]) -> None:
        """Queue claimed deliveries in the order given."""
        for claim in claims:
            lane = self._lane(claim)
            lane.queue.append(claim)
            lane.party.queued += 1
            self.queued += 1
            self._line_up(lane)

    def take(self) -> Claim | None:
        """Return the next delivery to send, tenants and their endpoints in turn; None for now."""
        for _ in range(len(self._line)):
            party = self._line.popleft()
            full = party.flying >= min(self._flying_max, 2 * self._flying_max - self.flying)
            lane = None if full else party.next_lane()
            party.in_line = bool(party.turns)
            if party.in_line:
                self._line.append(party)
            if lane is not None:
                return self._take_from(lane)
        return None

    def _take_from(self, lane: Lane) -> Claim:
        claim = lane.queue.popleft()
        lane.flying += 1
        lane.party.flying += 1
        lane.party.queued -= 1
        self.flying += 1
        self.queued -= 1
        self._line_up(lane)
        return claim

    def land(self, claim: Claim, *, succeeded: bool) -> list[Claim]:
        """A request came back. Return claims that are better given back."""
        lane = self._lane(claim)
        lane.flying -= 1
        lane.party.flying -= 1
        self.flying -= 1
        returned: list[Claim] = []
        if succeeded:
            lane.window = min(lane.window + 1, self._window_max)
        else:
            lane.window = 1
            lane.blocked = True
            returned = self._empty(lane)
        self._line_up(lane)
        return returned

    def is_failing(self, endpoint_id: str) -> bool:
        """Whether the database holds, as far as we know, that the endpoint fails."""
        lane = self._lanes.get(endpoint_id)
        return lane is not None and lane.failing

    def mark(self, endpoint_id: str, *, failing: bool) -> None:
        """Remember what was written of an endpoint."""
        if lane := self._lanes.get(endpoint_id):
            lane.failing = failing

    def unblock(self, endpoint_ids: Iterable[str]) -> None:
        """What these endpoints answered is written down."""
        for endpoint_id in endpoint_ids:
            if lane := self._lanes.get(endpoint_id):
                lane.blocked = False

    def drop(self, endpoint_ids: Collection[str]) -> None:
        """Forget what is queued for endpoints that were disabled."""
        for endpoint_id in endpoint_ids:
            if lane := self._lanes.get(endpoint_id):
                self._empty(lane)

    def clear(self) -> None:
        """Forget everything queued; requests under way come back by themselves."""
        self.drop(self._lanes.keys())

    def rooms(self) -> dict[str, int]:
        """Return how many more deliveries each known endpoint may get."""
        if len(self._lanes) > LANES_MAX:
            self._lanes = {
                key: lane for key, lane in self._lanes.items() if lane.held or lane.blocked
            }
        return {key: lane.room for key, lane in self._lanes.items()}

    def held_by(self) -> dict[str, int]:
        """Return how many deliveries of each tenant are in this worker's hands."""
        held = {tenant: party.held for tenant, party in self._parties.items() if party.held}
        if len(self._parties) > LANES_MAX:
            kept = {id(lane.party) for lane in self._lanes.values()}
            self._parties = {t: party for t, party in self._parties.items() if id(party) in kept}
        return held

    def _line_up(self, lane: Lane) -> None:
        if lane.can_send and not lane.in_line:
            lane.in_line = True
            lane.party.turns.append(lane)
            if not lane.party.in_line:
                lane.party.in_line = True
                self._line.append(lane.party)

    def _lane(self, claim: Claim) -> Lane:
        lane = self._lanes.get(claim.endpoint_id)
        if lane is None:
            window = 1 if claim.failing else WINDOW_FIRST
            party = self._parties.setdefault(claim.tenant, Party())
            lane = Lane(party, min(window, self._window_max), claim.failing)
            self._lanes[claim.endpoint_id] = lane
        elif claim.failing:
            lane.failing = True
        return lane

    def _empty(self, lane: Lane) -> list[Claim]:
        claims = list(lane.queue)
        lane.queue.clear()
        lane.party.queued -= len(claims)
        self.queued -= len(claims)
        return claims
