"""Where the servers of a benchmark keep their data."""

from __future__ import annotations

import tempfile
from pathlib import Path


def make_folder() -> Path:
    """Return a new folder that the database's own user can get into."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-bench-"))
    folder.chmod(0o711)
    return folder
