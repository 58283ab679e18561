"""Asking several things of one node at once, without JSON-RPC batches.

Not every Solana gateway takes batches (Surfpool and some plans of providers refuse them), so each
call is a post of its own, over connections that stay open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chain_adapters.rpc import Endpoint, Reply, Request


async def ask_all(endpoint: Endpoint, requests: Sequence[Request]) -> list[Reply]:
    """Return the answers in order, errors included; raise the first failure after all ended."""
    posts = (endpoint.call([request]) for request in requests)
    answers = await asyncio.gather(*posts, return_exceptions=True)
    replies: list[Reply] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        replies += answer
    return replies
