"""A subscriber as an integrator would write it: takes webhooks, verifies them, keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError


class WebhookSink:
    """Listens on loopback. `events` are the verified ones by id, in order of first arrival."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.arrivals = 0
        """Webhooks taken, repeats included."""
        self.refused = 0
        """Webhooks whose signature was wrong."""
        self.url = ""
        self._secrets: list[Webhook] = []
        self._arrived = asyncio.Event()
        app = web.Application()
        app.router.add_post("/webhooks", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/webhooks"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def trust(self, secret: str) -> None:
        """Accept what is signed with this secret of an endpoint."""
        self._secrets.append(Webhook(secret))

    async def expect(
        self, event_type: str, matches: Callable[[dict[str, Any]], bool], timeout_s: float
    ) -> dict[str, Any]:
        """Return the first event of a type whose data match; TimeoutError if none comes."""
        async with asyncio.timeout(timeout_s):
            while True:
                for event in self.events.values():
                    if event["type"] == event_type and matches(event["data"]):
                        return event
                self._arrived.clear()
                await self._arrived.wait()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        for secret in self._secrets:
            try:
                event: dict[str, Any] = secret.verify(body, dict(request.headers))
            except WebhookVerificationError:
                continue
            self.arrivals += 1
            self.events.setdefault(event["id"], event)
            self._arrived.set()
            return web.Response(status=204)
        self.refused += 1
        return web.Response(status=401)
