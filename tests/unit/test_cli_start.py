"""How the command line begins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from devstack.paths import ROOT

HEAVY = {"asyncpg", "aiokafka", "faust", "web3", "pydantic", "aiohttp", "devstack.stack"}


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print(sorted(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.rpartition("[")[2].replace("'", "").rstrip("]\n").split(", "))
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_ctrl_c_while_the_program_is_loaded_shows_no_traceback(tmp_path: Path) -> None:
    # Not by a signal: what was started in the background may have been told to ignore that one.
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
