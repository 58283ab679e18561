"""`millrace demo`: the main job, played on a real broker, database and node."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

from cli.demo_screen import Screen
from cli.demo_story import Story
from devstack.stack import Stack

OURS = (
    "MILLRACE_WALLET_ENC_KEY",
    "MILLRACE_WEBHOOK_ENC_KEY",
    "MILLRACE_NETWORKS",
    "MILLRACE_ASSETS",
)
"""The demo makes its own of these."""


def play() -> int:
    """Play the whole story; return the exit status."""
    screen = Screen()
    folder = Path(tempfile.mkdtemp(prefix="millrace-demo-"))
    folder.chmod(0o711)  # the database's own user must get in
    started = time.monotonic()
    try:
        asyncio.run(_play(screen, folder))
    except (Exception, KeyboardInterrupt) as error:
        screen.fail(f"{type(error).__name__}: {error}", folder)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    screen.succeed(f"Everything adds up, after {time.monotonic() - started:.0f} s.")
    return 0


async def _play(screen: Screen, folder: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in OURS}
    environ["MILLRACE_TOPIC_PREFIX"] = f"demo-{secrets.token_hex(4)}."
    stack = Stack(folder, environ=environ)
    with screen.step("Kafka, PostgreSQL and an Ethereum node start"):
        await stack.start()
    try:
        await Story(screen, stack).play()
    finally:
        await stack.stop()
