"""Runs one program and ends it when the process that asked for it is gone, however it went.

Run as a script, with the standard library only. Standard input is a pipe from the owner: each byte
is the number of a signal for the program, and the end of the pipe, which the kernel makes certain
even after a kill -9, means that the owner is dead. The first line of standard output is the
program's process id or "error: ..."; the exit status is the program's, 128 + n after signal n.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ORPHAN_GRACE_S = 10.0
PR_SET_PDEATHSIG = 1


def die_with_guard() -> None:
    """Ask Linux to kill the program should the guard itself be killed. A no-op elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def relay_signals(program: subprocess.Popen[bytes], orphan_signal: int) -> None:
    """Pass the owner's signals on; when the owner is gone, end the program."""
    while number := os.read(0, 1):
        program.send_signal(number[0])
    program.send_signal(orphan_signal)
    time.sleep(ORPHAN_GRACE_S)
    program.kill()


def start_program(log_path: str, account: str, command: list[str]) -> subprocess.Popen[bytes]:
    """Start the program in a session of its own, as `account` ("uid:gid", or "" for the same)."""
    user, group = map(int, account.split(":")) if account else (None, None)
    with Path(log_path).open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_guard,  # noqa: PLW1509 - the guard has no other thread yet
            user=user,
            group=group,
            extra_groups=[] if account else None,
        )


def main(arguments: list[str]) -> int:
    """Guard the program named by LOG_PATH ORPHAN_SIGNAL ACCOUNT COMMAND..."""
    log_path, orphan_signal, account, *command = arguments
    try:
        program = start_program(log_path, account, command)
    except OSError as error:
        sys.stdout.write(f"error: {error}\n")
        return 127
    sys.stdout.write(f"{program.pid}\n")
    sys.stdout.flush()
    relay = threading.Thread(target=relay_signals, args=(program, int(orphan_signal)), daemon=True)
    relay.start()
    status = program.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
