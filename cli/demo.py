"""`millrace demo`: the main job, played on a real broker, database and nodes."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cli.demo_screen import Screen
from cli.demo_story import Story
from cli.errors import INTERRUPTED, explain
from cli.session import quiet_logs
from devstack.stack import LOCK, Stack, try_lock

OURS = (
    "MILLRACE_WALLET_ENC_KEY",
    "MILLRACE_WEBHOOK_ENC_KEY",
    "MILLRACE_NETWORKS",
    "MILLRACE_ASSETS",
)
"""The demo makes its own of these."""


PREFIX = "millrace-demo-"
ABANDONED_AFTER_S = 60.0
"""A demo that was killed may need a moment until its servers have ended too."""


def play(chains: Sequence[str]) -> int:
    """Play the whole story on these kinds of chain; return the exit status."""
    quiet_logs()
    screen = Screen()
    sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.chmod(0o711)  # the database's own user must get in
    started = time.monotonic()
    try:
        asyncio.run(_play(screen, folder, chains))
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        screen.interrupt()
        return INTERRUPTED
    except Exception as error:
        problem = explain(error)
        screen.fail(str(problem) if problem else f"{type(error).__name__}: {error}", folder)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    screen.succeed(time.monotonic() - started)
    return 0


def sweep(parent: Path) -> None:
    """Remove what demos left in `parent` that failed or were killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another user's, or gone already
            continue


def _is_abandoned(folder: Path) -> bool:
    file = folder / LOCK
    with file.open("r+") as lock:
        return time.time() - file.stat().st_mtime > ABANDONED_AFTER_S and try_lock(lock)


async def _play(screen: Screen, folder: Path, chains: Sequence[str]) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in OURS}
    environ["MILLRACE_TOPIC_PREFIX"] = f"demo-{secrets.token_hex(4)}."
    stack = Stack(folder, chains=chains, environ=environ)
    with screen.step(f"Kafka, PostgreSQL and nodes start: {', '.join(chains)}"):
        await stack.start()
    try:
        await Story(screen, stack).play()
    finally:
        await stack.stop()
