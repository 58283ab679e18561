"""The dump and restore of docs/operations.md, by its own commands."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from devstack.paths import ROOT
from devstack.postgres import open_install

MANUAL = (ROOT / "docs/operations.md").read_text()


def run_manual(name: str, url: str, folder: Path) -> None:
    """Run the manual's command `name` in `folder`, on the database at `url`."""
    (line,) = {
        text.strip() for text in MANUAL.splitlines() if text.strip().startswith(f"{name} --")
    }
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}"))
    command = shlex.split(line.replace("$OWNER_URL", bare))
    command[0] = str(open_install() / "bin" / name)
    password = {"PGPASSWORD": str(parts.password)}
    done = subprocess.run(
        command, cwd=folder, env=password, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
