"""Runs parts of the test suite as proofs of a campaign, with a seed and more examples."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from devstack.paths import ROOT
from tests.faults.figures import Figure

TIMEOUT_S = 3600.0


async def run_proofs(
    folder: Path, paths: Sequence[str], *, seed: int, examples: int | None
) -> list[Figure]:
    """Run tests in a process of their own; return a figure for each file, the log is kept."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    return [await _run_file(folder, path, seed, examples) for path in paths]


async def _run_file(folder: Path, path: str, seed: int, examples: int | None) -> Figure:
    name = Path(path).stem.removeprefix("test_").replace("_", " ")
    log, report = folder / f"{Path(path).stem}.log", folder / f"{Path(path).stem}.xml"
    environ = dict(os.environ)
    if examples is not None:
        environ["FAULTS_EXAMPLES"] = str(examples)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", path, "-q", "--no-header"),
            *(f"--hypothesis-seed={seed}", f"--junit-xml={report}"),
            stdout=output,
            stderr=output,
            env=environ,
            cwd=ROOT,
        )
        status = await asyncio.wait_for(process.wait(), TIMEOUT_S)
    return Figure(name, read_report(report) if report.exists() else f"see {log}", status == 0)


def read_report(report: Path) -> str:
    """Return how many tests held, of a JUnit report written by pytest itself."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    if suite is None:
        return "no tests"
    total = int(suite.get("tests", "0"))
    bad = sum(int(suite.get(kind, "0")) for kind in ("failures", "errors"))
    return f"{total - bad} of {total} hold"
