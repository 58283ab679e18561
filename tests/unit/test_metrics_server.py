"""The promises of /livez, /readyz and /metrics, over real HTTP."""

from __future__ import annotations

import asyncio
import platform
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from metrics import catalogue
from metrics.server import Check, MetricsServer


def _says(reason: str | None) -> Check:
    async def check() -> str | None:
        return reason

    return check


async def _raises() -> str | None:
    raise ConnectionError("postgresql://user:password@host")


async def _hangs() -> str | None:
    await asyncio.Event().wait()
    return None


@asynccontextmanager
async def _serving(server: MetricsServer) -> AsyncIterator[str]:
    port = await server.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop()


async def _get(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.json()


async def _names(url: str) -> set[str]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return {family.name for family in text_string_to_metric_families(await response.text())}


async def test_a_worker_whose_checks_pass_is_ready() -> None:
    server = MetricsServer(live={}, ready={"database": _says(None), "broker": _says(None)})
    async with _serving(server) as url:
        expected = {"status": "ok", "checks": {"database": "ok", "broker": "ok"}}
        assert await _get(f"{url}/readyz") == (200, expected)


async def test_one_failed_check_makes_a_worker_unready_and_is_named() -> None:
    server = MetricsServer(live={}, ready={"database": _says("no answer"), "broker": _says(None)})
    async with _serving(server) as url:
        expected = {"status": "unavailable", "checks": {"database": "no answer", "broker": "ok"}}
        assert await _get(f"{url}/readyz") == (503, expected)


async def test_an_unready_worker_is_still_alive() -> None:
    server = MetricsServer(live={"stages": _says(None)}, ready={"database": _says("away")})
    async with _serving(server) as url:
        assert await _get(f"{url}/livez") == (200, {"status": "ok", "checks": {"stages": "ok"}})


async def test_a_stalled_stage_makes_a_worker_dead() -> None:
    server = MetricsServer(live={"stages": _says("match_deposits stalled")}, ready={})
    async with _serving(server) as url:
        status, body = await _get(f"{url}/livez")
        assert (status, body["checks"]) == (503, {"stages": "match_deposits stalled"})


@pytest.mark.parametrize(
    ("check", "reason"), [(_raises, "ConnectionError"), (_hangs, "no answer within 0.05 s")]
)
async def test_a_check_that_fails_or_hangs_is_reported_without_its_text(
    check: Callable[[], Awaitable[str | None]], reason: str
) -> None:
    server = MetricsServer(live={}, ready={"database": check}, check_timeout_s=0.05)
    async with _serving(server) as url:
        expected = {"status": "unavailable", "checks": {"database": reason}}
        assert await _get(f"{url}/readyz") == (503, expected)


async def test_only_the_worker_that_reads_them_shows_shared_metrics() -> None:
    holds = False
    server = MetricsServer(live={}, ready={}, shows_shared=lambda: holds)
    async with _serving(server) as url:
        catalogue.rpc_endpoint_up.labels("eip155:31337", "0").set(1)
        before = await _names(url)
        holds = True
        during = await _names(url)
        holds = False
        assert await _names(url) == before
    assert "millrace_outbox_depth" not in before
    assert {"millrace_rpc_endpoint_up", "process_resident_memory_bytes"} <= before
    assert during - before >= {"millrace_outbox_depth", "millrace_dead_letters_open"}


async def test_a_taken_port_is_refused_loudly() -> None:
    async with _serving(MetricsServer(live={}, ready={})) as url:
        second = MetricsServer(live={}, ready={})
        with pytest.raises(OSError, match="in use"):
            await second.start("127.0.0.1", int(url.rsplit(":", 1)[1]))
        await second.stop()


async def test_stopping_twice_is_harmless() -> None:
    server = MetricsServer(live={}, ready={})
    await server.start("127.0.0.1", 0)
    await server.stop()
    await server.stop()


async def test_the_version_that_runs_is_told() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    labels = {
        "version": tomllib.loads(project.read_text())["project"]["version"],
        "python": platform.python_version(),
    }
    async with _serving(MetricsServer(live={}, ready={})):
        assert catalogue.REGISTRY.get_sample_value("millrace_build_info", labels) == 1
