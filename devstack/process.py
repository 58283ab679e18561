"""Processes that cannot outlive the one that started them, and the servers made of them."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

GUARD = Path(__file__).with_name("guard.py")
LOG_TAIL_BYTES = 2000


class ServerError(RuntimeError):
    """A server did not start or stop. The text names its log file and shows the end of it."""


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that was free a moment ago. Nobody reserves it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(done: Callable[[], bool], timeout_s: float) -> bool:
    """Ask `done` again and again, for at most `timeout_s`; return its last answer."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class GuardedProcess:
    """One program under a guard of its own (see `guard.py`), its output appended to a log file."""

    def __init__(
        self,
        command: Sequence[str],
        log_path: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        account: str = "",
        orphan_signal: signal.Signals = signal.SIGKILL,
        keep_open: Sequence[int] = (),
    ) -> None:
        """Start `command`. The guard holds the descriptors in `keep_open` as long as it lives.

        ServerError if the program cannot be executed.
        """
        guard = [sys.executable, "-I", "-S", str(GUARD)]
        self._guard = subprocess.Popen(
            [*guard, str(log_path), str(int(orphan_signal)), account, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=None if environment is None else dict(environment),
            cwd=directory,
            start_new_session=True,
            pass_fds=keep_open,
        )
        answer = _pipe(self._guard.stdout).readline().decode().strip()
        if not answer.isdecimal():
            self.wait(timeout_s=5.0)
            message = f"{command[0]} does not run: {answer}"
            raise ServerError(message)
        self.pid = int(answer)

    @property
    def alive(self) -> bool:
        """Whether the program runs."""
        return self._guard.poll() is None

    @property
    def exit_status(self) -> int | None:
        """The program's exit status, 128 + n after signal n, None while it runs."""
        return self._guard.poll()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the program; nothing happens if it has ended."""
        try:
            os.write(_pipe(self._guard.stdin).fileno(), bytes([number]))
        except (BrokenPipeError, ValueError):
            return

    def wait(self, timeout_s: float) -> bool:
        """Wait until the program has ended; return False if it runs still."""
        try:
            self._guard.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        _pipe(self._guard.stdin).close()
        _pipe(self._guard.stdout).close()
        return True

    def end(self, number: signal.Signals, timeout_s: float) -> None:
        """Send a signal and wait; SIGKILL after `timeout_s`."""
        self.send_signal(number)
        if not self.wait(timeout_s):
            self.send_signal(signal.SIGKILL)
            self.wait(timeout_s=30.0)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError
    return pipe


class Server(ABC):
    """A server on 127.0.0.1 with a data folder that no two runs use at once.

    `start` after `kill` or `stop` comes back on the same port and the same data. The methods block
    and are not for two threads at once; call them by `asyncio.to_thread` where that matters.
    """

    name: str
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    account: str = ""
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 20.0
    lock_timeout_s: float = 5.0
    attempts: int = 6

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        """Prepare to serve from `data_dir`, on `port` or a free one."""
        self.data_dir = data_dir.absolute()
        self.port = port or free_port()
        self._port_is_final = port is not None
        self._log_start = 0
        self._process: GuardedProcess | None = None

    @property
    def log_path(self) -> Path:
        """The file that has the server's output, of earlier runs too."""
        return self.data_dir / f"{self.name}.log"

    @property
    def alive(self) -> bool:
        """Whether the process runs; it may not answer yet."""
        return self._process is not None and self._process.alive

    @property
    def pid(self) -> int:
        """The server's process id; ServerError if it does not run."""
        if self._process is None or not self._process.alive:
            message = f"{self.name} does not run"
            raise ServerError(message)
        return self._process.pid

    def start(self) -> None:
        """Start and wait until the server answers. A second call does nothing.

        ServerError if it ends again or does not answer in `start_timeout_s`, or if another run
        uses the data folder.
        """
        if self.alive:
            return
        self.kill()  # forgets one that ended by itself
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "lock").open("w") as lock:
            self._take_lock(lock)
            for _ in range(self.attempts):
                if self._try_to_start(lock.fileno()):
                    self._port_is_final = True
                    return
                if not self._port_is_final:
                    self.port = free_port()
                time.sleep(0.5)
        raise self._error("did not start")

    def stop(self) -> None:
        """Stop gracefully; kill what has not ended after `stop_timeout_s`."""
        if self._process is not None:
            self._process.end(self.stop_signal, self.stop_timeout_s)
            self._process = None

    def kill(self) -> None:
        """Kill at once, as a power cut would; the data stays."""
        if self._process is not None:
            self._process.end(signal.SIGKILL, timeout_s=30.0)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data folder ready for a start. Called again before each attempt."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command line. No secret may be in it."""

    @abstractmethod
    def _answers(self) -> bool:
        """Tell whether the server serves."""

    def _environment(self) -> Mapping[str, str] | None:
        return None

    def _directory(self) -> Path:
        return self.data_dir

    def _take_lock(self, lock: IO[str]) -> None:
        def taken() -> bool:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        # The guard of a run that was killed a moment ago holds the lock until its server is gone.
        if not wait_until(taken, self.lock_timeout_s):
            message = f"{self.name}: another run uses {self.data_dir}"
            raise ServerError(message)

    def _try_to_start(self, lock: int) -> bool:
        self._prepare()
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        process = GuardedProcess(
            self._command(),
            self.log_path,
            environment=self._environment(),
            directory=self._directory(),
            account=self.account,
            orphan_signal=self.orphan_signal,
            keep_open=[lock],
        )
        self._process = process
        if not wait_until(lambda: not process.alive or self._answers(), self.start_timeout_s):
            self.kill()
            raise self._error(f"did not answer in {self.start_timeout_s:.0f} s")
        if not process.alive:
            self.kill()
        return self._process is not None

    def _log_since_start(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _error(self, what: str) -> ServerError:
        tail = self._log_since_start()[-LOG_TAIL_BYTES:]
        return ServerError(f"{self.name} {what}; the end of {self.log_path}:\n{tail}")
