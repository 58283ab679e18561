"""Keeping a key out of sight of the machine's other processes, as far as a process can.

Not promised: anything against root, and nothing about who started the process: a shell, a
container engine or a unit file may keep a copy of what it handed over.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

_PR_SET_DUMPABLE = 4
"""prctl(2)."""


def forget_variable(name: str) -> None:
    """Take a variable out of the environment and overwrite its value in memory.

    To unset it is not enough: /proc/<pid>/environ shows the memory in which the process was given
    its variables (proc(5)), whatever was unset since.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    address = libc.getenv(name.encode())
    if address:
        ctypes.memset(address, 0, len(ctypes.string_at(address)))
    os.environ.pop(name, None)


def forbid_dumps() -> None:
    """Let no core be dumped and, on Linux, no process but root's read this one's memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
