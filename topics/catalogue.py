"""Every topic there is: what `millrace init` makes and `millrace doctor` looks for."""

from __future__ import annotations

from typing import Any

from topics.blocks import BLOCKS
from topics.deposits import DEPOSITS
from topics.events import EVENTS
from topics.ledger import LEDGER
from topics.topic import Topic
from topics.withdrawals import WITHDRAWAL_COMMANDS, WITHDRAWALS_APPROVED, WITHDRAWALS_SIGNED

ALL_TOPICS: tuple[Topic[Any], ...] = (
    BLOCKS,
    DEPOSITS,
    LEDGER,
    EVENTS,
    WITHDRAWAL_COMMANDS,
    WITHDRAWALS_APPROVED,
    WITHDRAWALS_SIGNED,
)
"""In the order of the flow."""
