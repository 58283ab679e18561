"""Answers of a real node with something odd in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random

from chain_adapters.http import HttpClient
from tests.support.json_places import paths, place
from tests.support.utxo_vectors import Number, encode
from tests.support.wrapped_http import WrappedHttp

ODD: tuple[object, ...] = (
    *(None, True, -1, 0, 1, 1.5, 2**32, 2**63, 2**64, 2**256, 10**100, [], {}, [[]], [None]),
    *("", "1e3", "+1", " 1", "1.0", "-1", "0x", "-0x5", "NaN", "sNaN", "Infinity", "\0" * 40),
    *("0x" + 64 * "f", 66 * "f", 20 * "9", 78 * "9", 128 * "9", 64 * "a", "٣"),
    *("9999-12-31T23:59:59Z", "0001-01-01T00:00:00", "te6ccgEBAQEAAgAAAA=="),
)


class AlteredHttp(WrappedHttp):
    """Asks as another client does, and changes one place of every third answer."""

    def __init__(self, honest: HttpClient, choice: Random) -> None:
        super().__init__(honest)
        self._choice = choice

    async def exchange(self, url: str, body: bytes) -> tuple[bytes, str | None]:
        raw, fault = await self._honest.exchange(url, body)
        return self._alter(raw), fault

    async def fetch(
        self,
        url: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, str | None]:
        status, raw, fault = await self._honest.fetch(url, path, query, body, form)
        return status, self._alter(raw), fault

    def _alter(self, raw: bytes) -> bytes:
        if not raw.startswith((b"{", b"[")) or self._choice.randrange(3):
            return raw
        answer = json.loads(raw, parse_float=Number)
        places = paths(answer)
        if places:
            *parent, key = self._choice.choice(places)
            place(answer, tuple(parent))[key] = self._choice.choice(ODD)
        return encode(answer)
