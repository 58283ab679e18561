"""The HTTP endpoints of a worker: /livez, /readyz and /metrics.

They are served by the event loop that does the work, so that a blocked loop is seen as a worker
that does not answer. Nothing here is secret, yet nothing asks who is calling: bind to loopback or
to a network that only monitoring reaches.
"""

from __future__ import annotations

import asyncio
import platform
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aiohttp import web
from prometheus_client import generate_latest

from metrics.catalogue import REGISTRY, SHARED_REGISTRY, build_info

Check = Callable[[], Awaitable[str | None]]
"""Returns None when all is well, else the reason in a few words, without secrets."""

CHECK_TIMEOUT_S = 2.0
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def _never() -> bool:
    return False


def _millrace_version() -> str:
    try:
        return version("millrace")
    except PackageNotFoundError:  # run from a folder that was not installed, as in the image
        project = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text())["project"]["version"])


class MetricsServer:
    """Serves the health and the metrics of one process.

    `live` are the checks of /livez: what only a restart can cure. `ready` are those of /readyz:
    what must be there for the work to go on (database, broker, node). `shows_shared` says whether
    this worker is the one that reads and shows the shared metrics; it is asked at every scrape.
    """

    def __init__(
        self,
        live: Mapping[str, Check],
        ready: Mapping[str, Check],
        shows_shared: Callable[[], bool] = _never,
        check_timeout_s: float = CHECK_TIMEOUT_S,
    ) -> None:
        self._live = live
        self._ready = ready
        self._shows_shared = shows_shared
        self._check_timeout_s = check_timeout_s
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1.0)

    async def start(self, host: str, port: int) -> int:
        """Listen in the running event loop and return the port; 0 takes a free one.

        Raises OSError if the port is taken.
        """
        build_info.labels(_millrace_version(), platform.python_version()).set(1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Stop listening. Harmless when not started, or twice."""
        await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _livez(self, _request: web.Request) -> web.Response:
        return await self._answer(self._live)

    async def _readyz(self, _request: web.Request) -> web.Response:
        return await self._answer(self._ready)

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(REGISTRY)
        if self._shows_shared():
            body += generate_latest(SHARED_REGISTRY)
        return web.Response(body=body, headers={"Content-Type": _CONTENT_TYPE})

    async def _answer(self, checks: Mapping[str, Check]) -> web.Response:
        reasons = await asyncio.gather(*(self._ask(check) for check in checks.values()))
        found = {name: reason or "ok" for name, reason in zip(checks, reasons, strict=True)}
        well = not any(reasons)
        return web.json_response(
            {"status": "ok" if well else "unavailable", "checks": found},
            status=200 if well else 503,
        )

    async def _ask(self, check: Check) -> str | None:
        try:
            return await asyncio.wait_for(check(), self._check_timeout_s)
        except TimeoutError:
            return f"no answer within {self._check_timeout_s:g} s"
        except Exception as error:  # its text might be secret, its type is not
            return type(error).__name__
