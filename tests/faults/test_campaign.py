"""The short form of the campaign's runs on the whole real stack; the rest are tests already."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from devstack.chains.registry import installed_kinds
from tests.faults.campaign import SHORT_KILLS, short_depths
from tests.faults.figures import Figure
from tests.faults.kills import run_kills
from tests.faults.proofs import read_report
from tests.faults.reorgs import run_reorgs

TIMED = "resumed: "
"""The campaign judges times; a test on a busy machine does not."""


def expect_kept(figures: Sequence[Figure], seed: int) -> None:
    broken = [figure for figure in figures if not figure.kept and not figure.name.startswith(TIMED)]
    assert not broken, f"seed {seed}: {broken}"


async def test_nothing_is_lost_or_doubled_on_any_chain_while_everything_is_killed(
    servers_dir: Path,
) -> None:
    seed = secrets.randbelow(10**6)
    figures = await run_kills(
        servers_dir / "kills", chains=installed_kinds(), size=SHORT_KILLS, seed=seed
    )
    expect_kept(figures, seed)


async def test_reorganisations_end_with_everything_credited_and_paid_once(
    servers_dir: Path,
) -> None:
    seed = secrets.randbelow(10**6)
    depths = short_depths(seed)
    expect_kept(await run_reorgs(servers_dir / "reorgs", depths=depths, seed=seed), seed)


def test_a_failed_proof_shows_in_its_figure(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite tests="5" failures="1" errors="1" skipped="0"/></testsuites>'
    )
    assert read_report(report) == "3 of 5 hold"
