"""Where the development stack keeps what it fetches and what it writes."""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEVSTACK = Path(__file__).resolve().parent


def cache_dir() -> Path:
    """Return the folder of fetched programs: .cache in the checkout, or MILLRACE_CACHE_DIR."""
    return Path(os.environ.get("MILLRACE_CACHE_DIR") or ROOT / ".cache").absolute()


def kafka_jars_dir() -> Path:
    """Return the folder of the broker's jars."""
    return cache_dir() / "kafka"


def node_modules_dir() -> Path:
    """Return the folder of the npm packages."""
    return cache_dir() / "npm" / "node_modules"


def erc20_artifact() -> Path:
    """Return the prebuilt token: JSON with `abi` and `bytecode`.

    The constructor takes (name, symbol, initial supply in minor units, owner).
    """
    folder = node_modules_dir() / "@openzeppelin" / "contracts" / "build" / "contracts"
    return folder / "ERC20PresetFixedSupply.json"


def is_open_to_all(path: Path) -> bool:
    """Tell whether every user may enter or execute `path`, if it is there, and all above it."""
    whole = (path.absolute(), *path.absolute().parents)
    return all(part.stat().st_mode & 0o001 for part in whole if part.exists())


def open_to_all(folder: Path) -> None:
    """Let every user read what is in `folder` and execute what its owner may."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))


def shared_twin(path: Path) -> Path:
    """Return a folder under the system's temporary folder that stands in for `path`.

    The same `path` has the same twin each time. PermissionError if someone else owns the twin.
    """
    name = sha256(str(path.absolute()).encode()).hexdigest()[:16]
    twin = Path(tempfile.gettempdir()).resolve() / f"millrace-{os.getuid()}-{name}"
    twin.mkdir(mode=0o700, exist_ok=True)
    if twin.is_symlink() or twin.stat().st_uid != os.getuid():
        message = f"{twin} belongs to another user"
        raise PermissionError(message)
    twin.chmod(0o711)
    return twin
