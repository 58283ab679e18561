"""A gateway in front of a node that loses and lies as a test orders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, Self, TypeVar

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

InsteadT = TypeVar("InsteadT")
"""Answers a request in the node's place."""
MangleT = TypeVar("MangleT")
"""Changes what the node answered."""


class NodeGateway(ABC, Generic[InsteadT, MangleT]):
    """Passes requests on to a node; what `instead` and `mangle` are by is the chain's own."""

    def __init__(self, node_url: str) -> None:
        self.instead: dict[str, InsteadT] = {}
        self.mangle: dict[str, MangleT] = {}
        self.url = ""
        self._node_url = node_url
        self._http: aiohttp.ClientSession

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Serve at `url`."""
        application = web.Application()
        application.router.add_post("/{path:.*}", self._post)
        async with aiohttp.ClientSession() as self._http, TestServer(application) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    def behave(self) -> None:
        """Be an honest gateway from now on."""
        self.instead.clear()
        self.mangle.clear()

    @abstractmethod
    async def _post(self, request: web.Request) -> web.Response:
        """Answer a request."""
