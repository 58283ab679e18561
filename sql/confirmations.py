"""After how many confirmations money may be relied on: more of it may have to wait for more."""

from __future__ import annotations

import json
from typing import TypeAlias

Steps: TypeAlias = tuple[tuple[int, int], ...]
"""(from this amount on, so many confirmations), largest amount first; the last is from 0."""


def read_steps(by_amount: str, default: int) -> Steps:
    """Return the steps that a row of `assets` has as JSON; `default` is from amount 0 on."""
    steps = {0: default} | {
        int(step["from_minor"]): int(step["confirmations"]) for step in json.loads(by_amount)
    }
    return tuple(sorted(steps.items(), reverse=True))


def confirmations_of(steps: Steps, amount_minor: int) -> int:
    """Return how many blocks, its own included, an amount waits for."""
    return next(count for start, count in steps if amount_minor >= start)
