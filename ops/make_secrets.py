"""Make the secrets that docker-compose.yml reads, once: `python3 ops/make_secrets.py`.

Files that are there already stay as they are. Needs nothing but Python. Keep copies of wallet.env
and webhooks.env apart from the backups of the database: without them the master secret and the
secrets of webhooks cannot be opened again.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".millrace/compose"
OPS = Path(__file__).parent
MOUNTED = ("millrace.toml", "postgres", "prometheus", "grafana")
"""What of this folder containers read. There is no secret in it."""
PAIRS = (("postgres_password", "owner.env"), ("worker_password", "database.env"))
"""Files with the same password of the database in them: the owner's, and the workers'."""


def fresh_secrets() -> dict[str, str]:
    """Return the content of every file, by name."""
    owner, worker = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    cluster_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
    return {
        "postgres_password": owner,
        "owner.env": f"MILLRACE_DATABASE_URL={_url('millrace', owner)}\n",
        "worker_password": worker,
        "database.env": f"MILLRACE_DATABASE_URL={_url('millrace_worker', worker)}\n",
        "grafana_password": secrets.token_urlsafe(24),
        "kafka.env": f"CLUSTER_ID={cluster_id}\n",
        "wallet.env": f"MILLRACE_WALLET_ENC_KEY={secrets.token_urlsafe(32)}\n",
        "webhooks.env": f"MILLRACE_WEBHOOK_ENC_KEY={secrets.token_urlsafe(32)}\n",
    }


def _url(user: str, password: str) -> str:
    return f"postgresql://{user}:{password}@postgres:5432/millrace?sslmode=disable"


def write_missing(folder: Path, contents: Mapping[str, str]) -> list[str]:
    """Write the files that are not there yet and return their names.

    The folder is its owner's alone. Inside, the files that containers read under users of their
    own are readable; the env files, which only Compose reads, are not.

    FileExistsError, before anything is written, if only one of two files with the same password
    is there: a new one would not fit.
    """
    missing = [name for name in contents if not (folder / name).exists()]
    for pair in PAIRS:
        if len(set(pair).intersection(missing)) == 1:
            raise FileExistsError(f"{folder} has only one of {' and '.join(pair)}: restore it")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in missing:
        mode = 0o600 if name.endswith(".env") else 0o644
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        os.fchmod(handle, mode)  # whatever the umask
        with os.fdopen(handle, "w") as file:
            file.write(contents[name])
    return missing


def closed_to_others(folder: Path) -> list[Path]:
    """Return what of `MOUNTED` other users cannot read, as in a checkout under umask 077."""
    mounted = [path for name in MOUNTED for path in (folder / name, *(folder / name).rglob("*"))]
    return [path for path in mounted if ~path.stat().st_mode & (0o005 if path.is_dir() else 0o004)]


def main() -> None:
    """Write what is missing and say so, never the content."""
    try:
        made = write_missing(FOLDER, fresh_secrets())
    except FileExistsError as error:
        sys.exit(str(error))
    if closed_to_others(OPS):
        sys.stderr.write(
            f"{OPS} is readable for you alone, and containers run under users of their own:\n"
            f"  chmod -R a+rX {OPS}\n"
        )
    sys.stdout.write(f"made in {FOLDER}: {', '.join(made) or 'nothing, all is there'}\n")


if __name__ == "__main__":
    main()
