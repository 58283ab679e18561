"""Runs Millrace's workers and starts again the ones that end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from devstack.paths import ROOT
from devstack.process import GuardedProcess, free_port

BACKOFF_MIN_S = 0.2
BACKOFF_MAX_S = 5.0
POLL_S = 0.05


def next_backoff(backoff_s: float, ran_s: float) -> float:
    """Return how long to wait before the next start: doubled, or the least after a good run."""
    return BACKOFF_MIN_S if ran_s > 2 * BACKOFF_MAX_S else min(backoff_s * 2, BACKOFF_MAX_S)


class WorkerProcess:
    """One worker in a process of its own, started again whenever it ends, until `stop`.

    Make and use it on one event loop. A program that cannot be started at all ends the
    supervision; `stop` then raises the error.
    """

    def __init__(
        self,
        role: str,
        environment: Mapping[str, str],
        log_path: Path,
        command: tuple[str, ...] | None = None,
    ) -> None:
        """Prepare the worker for `role`; `command` replaces the one of the `millrace` worker."""
        self.role = role
        self.metrics_port = free_port()
        self.log_path = log_path
        self.starts = 0
        self.exit_status: int | None = None
        self._command = command or (sys.executable, "-m", "cli", "worker", "--role", role)
        self._environment = {"MILLRACE_METRICS_PORT": str(self.metrics_port), **environment}
        self._process: GuardedProcess | None = None
        self._supervision: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process runs now."""
        return self._process is not None and self._process.alive

    @property
    def pid(self) -> int | None:
        """The process id of the last start, None before the first."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the worker and watch over it."""
        if self._supervision is None:
            self._supervision = asyncio.create_task(self._supervise(), name=f"worker {self.role}")

    def kill(self) -> None:
        """Kill the process at once (kill -9). It is started again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)

    async def stop(self, timeout_s: float = 20.0) -> None:
        """Stop the worker gracefully; kill it after `timeout_s`."""
        if self._supervision is None:
            return
        supervision, self._supervision = self._supervision, None
        supervision.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await supervision
        if self._process is not None:
            await asyncio.to_thread(self._process.end, signal.SIGTERM, timeout_s)
            self.exit_status = self._process.exit_status

    async def _supervise(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while True:
            started = time.monotonic()
            self._process = self._start_process()
            await self._wait_for_end(self._process)
            self.exit_status = self._process.exit_status
            backoff_s = next_backoff(backoff_s, time.monotonic() - started)
            await asyncio.sleep(backoff_s)

    def _start_process(self) -> GuardedProcess:
        self.starts += 1
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        return GuardedProcess(
            self._command, self.log_path, environment=self._environment, directory=ROOT
        )

    async def _wait_for_end(self, process: GuardedProcess) -> None:
        while process.alive:  # noqa: ASYNC110 - an exit sets no event
            await asyncio.sleep(POLL_S)
        process.wait(timeout_s=0)
