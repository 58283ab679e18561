"""What other libraries make of a chain's peak block."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Peer(NamedTuple):
    """A library that reads a block, or a share of it; what it is given is prepared beforehand."""

    name: str
    read: Callable[[], object]
    share: float = 1.0
