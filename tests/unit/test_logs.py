"""What becomes of log lines when there are too many of them."""

from __future__ import annotations

import json
import subprocess
import sys

FLOOD = """
import logging
from types import SimpleNamespace

import structlog

from settings import logs
from settings.model import Settings

now = 0.0
logs.time = SimpleNamespace(monotonic=lambda: now)
logs.set_up_logs(Settings(database_url="postgresql://nowhere/none", log_format="json"))
ours, theirs = structlog.get_logger("ours"), logging.getLogger("theirs")
for now in (0.0, 59.0, 60.0):
    for number in range(50):
        ours.error("a flood")
        theirs.error("a flood")
    ours.error("elsewhere")
"""


def test_a_flood_of_lines_from_one_place_ends_for_the_minute_and_says_so() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FLOOD], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    for logger in ("ours", "theirs"):
        flood = [line for line in lines if (line["logger"], line["event"]) == (logger, "a flood")]
        assert ["more" in line for line in flood] == ([False] * 19 + [True]) * 2
    assert sum(line["event"] == "elsewhere" for line in lines) == 3
