"""Stops a stack that runs in another process: `python -m devstack.down [DATA_DIR]`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from devstack.process import wait_until
from devstack.stack import LOCK, try_lock


def stop_stack(data_dir: Path, timeout_s: float = 60.0) -> str:
    """End the process that runs the stack of `data_dir`, and say what was done.

    TimeoutError if it is still there after `timeout_s`.
    """
    file = data_dir / LOCK
    if not file.exists():
        return f"no stack runs in {data_dir}"
    with file.open("r+") as lock:
        if try_lock(lock):
            return f"no stack runs in {data_dir}"
        # The holder of the lock wrote its process id, so the number is not a stranger's.
        pid = int(lock.read())
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: try_lock(lock), timeout_s):
            message = f"process {pid} runs still"
            raise TimeoutError(message)
    return f"the stack in {data_dir} is stopped"


def main(arguments: list[str]) -> int:
    """Stop the stack in the folder given, MILLRACE_DATA_DIR or .millrace."""
    folder = arguments[0] if arguments else os.environ.get("MILLRACE_DATA_DIR", ".millrace")
    sys.stdout.write(f"{stop_stack(Path(folder).absolute())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
