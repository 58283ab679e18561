"""The file by which a second terminal finds the development stack that `millrace up` runs.

`millrace up` writes DATA_DIR/dev.env (for its owner's eyes only, since keys are in it) and takes it
away when it stops. A command reads .millrace/dev.env when nothing else tells it where to go: no
MILLRACE_* variable is set but those of PLACES, and there is no millrace.toml.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from cli.errors import misused

NAME = "dev.env"
DATA_DIR = ".millrace"
PREFIX = "MILLRACE_"
PLACES = frozenset({"MILLRACE_DATA_DIR", "MILLRACE_CACHE_DIR"})
"""Variables that say where files are and not which system is meant."""


def data_dir(environ: Mapping[str, str]) -> Path:
    """Return the development stack's folder."""
    return Path(environ.get("MILLRACE_DATA_DIR") or DATA_DIR).absolute()


def write_env(path: Path, variables: Mapping[str, str]) -> None:
    """Write variables, in a form a shell reads too, for the owner's eyes only, all or nothing."""
    unfinished = path.with_suffix(f".{os.getpid()}")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.writelines(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    unfinished.replace(path)


def read_env(path: Path) -> dict[str, str]:
    """Read variables. Problem if the file is somebody else's or open to others."""
    status = path.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise misused(
            f"{path} is not for its owner alone, so it is not trusted",
            f"Delete it, or make it yours: chmod 600 {path}",
        )
    words = shlex.split(path.read_text(), comments=True)
    return dict(word.split("=", 1) for word in words if "=" in word)


def adopt_dev_env(folder: Path, environ: MutableMapping[str, str]) -> Path | None:
    """Put the running development stack's variables into `environ`, unless it says something else.

    Return the file they came from.
    """
    path = _file(folder, environ)
    if _others(environ) or (folder / "millrace.toml").exists() or not path.exists():
        return None
    environ.update(read_env(path))
    return path


def why_unread(folder: Path, environ: Mapping[str, str]) -> str:
    """Return why a stack's file that is there is not read, if that may not be meant; else ""."""
    others, path = _others(environ), _file(folder, environ)
    if "MILLRACE_DATABASE_URL" in others or not path.exists():
        return ""
    if (folder / "millrace.toml").exists():
        return f"{path} is not read, because of millrace.toml beside it."
    return f"{path} is not read, because of {', '.join(others)} in the environment."


def _file(folder: Path, environ: Mapping[str, str]) -> Path:
    return folder / environ.get("MILLRACE_DATA_DIR", DATA_DIR) / NAME


def _others(environ: Mapping[str, str]) -> list[str]:
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in PLACES)
