"""What became of a payment whose coins a node misses: it landed, another took them, or neither."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain_adapters.rpc import Endpoint, RpcClient
from chain_adapters.types import BroadcastOutcome, NodeUnavailable, SignedTransaction
from chain_adapters.utxo.raw import read_transaction
from chain_adapters.utxo.sending import broadcast

FIRST, SECOND = "c" * 64, "d" * 64
BLOCK = "b" * 64
MINED = {"blockhash": BLOCK, "confirmations": 3}
LEFT_BEHIND = {"blockhash": BLOCK, "confirmations": -1}
IN_POOL: dict[str, object] = {}
UNKNOWN = {"code": -5, "message": "No such mempool or blockchain transaction"}
INPUT_END = bytes(4) + b"\0" + b"\xff" * 4
RAW = (
    (2).to_bytes(4, "little")
    + b"\2"
    + b"".join(bytes.fromhex(id_)[::-1] + INPUT_END for id_ in (FIRST, SECOND))
    + b"\1"
    + (5).to_bytes(8, "little")
    + b"\1\x51"
    + bytes(4)
)
ID = read_transaction(RAW, 0)[0].id


class Coins:
    """A node's coins and transactions: which are unspent in blocks, or in its pool's eyes."""

    def __init__(self) -> None:
        self.in_blocks: set[str] = set()
        self.in_pool: set[str] = set()
        self.places: dict[str, dict[str, Any]] = {}
        self.sent: object = {"code": -25, "message": "bad-txns-inputs-missingorspent"}

    def answer(self, method: str, params: list[Any]) -> object:
        if method == "sendrawtransaction":
            return self.sent
        if method == "gettxout":
            return {} if params[0] in (self.in_pool if params[2] else self.in_blocks) else None
        return self.places.get(params[0], UNKNOWN)


@pytest.fixture
def coins() -> Coins:
    return Coins()


async def accept_any(_: Endpoint) -> None:
    """Take every endpoint for the right network's."""


@pytest.fixture
async def endpoint(coins: Coins) -> AsyncIterator[Endpoint]:
    async def handle(request: web.Request) -> web.Response:
        asked = await request.json()
        told = []
        for call in asked if isinstance(asked, list) else [asked]:
            answer = coins.answer(call["method"], call.get("params", []))
            kind = "error" if isinstance(answer, dict) and "code" in answer else "result"
            told.append({"id": call["id"], kind: answer})
        return web.json_response(told if isinstance(asked, list) else told[0])

    application = web.Application()
    application.router.add_post("/", handle)
    async with TestServer(application) as server:
        rpc = RpcClient("bip122:x", [str(server.make_url("/"))], identify=accept_any)
        yield rpc.endpoints[0]
        await rpc.close()


async def outcome_of(endpoint: Endpoint) -> BroadcastOutcome:
    return (await broadcast(endpoint, SignedTransaction(ID, RAW))).outcome


async def test_what_pays_unspent_outputs_was_accepted(endpoint: Endpoint, coins: Coins) -> None:
    coins.in_pool = {ID}
    coins.places = {FIRST: MINED, SECOND: MINED}
    assert await outcome_of(endpoint) is BroadcastOutcome.ACCEPTED


@pytest.mark.parametrize("place", [MINED, IN_POOL])
async def test_what_the_index_knows_was_accepted_though_its_outputs_are_spent(
    endpoint: Endpoint, coins: Coins, place: dict[str, Any]
) -> None:
    coins.places = {ID: place, FIRST: MINED, SECOND: MINED}
    assert await outcome_of(endpoint) is BroadcastOutcome.ACCEPTED


async def test_while_all_coins_are_unspent_in_blocks_none_was_taken(
    endpoint: Endpoint, coins: Coins
) -> None:
    coins.in_blocks = {FIRST, SECOND}
    coins.places = {FIRST: MINED, SECOND: MINED}
    assert await outcome_of(endpoint) is BroadcastOutcome.REFUSED


@pytest.mark.parametrize(
    ("unspent", "places"),
    [
        (set(), {FIRST: MINED, SECOND: MINED}),
        ({SECOND}, {FIRST: MINED}),
        (set(), {FIRST: MINED}),
        (set(), {ID: LEFT_BEHIND, FIRST: MINED, SECOND: MINED}),
    ],
    ids=["both", "one", "one, the other unknown", "ours is in no block any more"],
)
async def test_a_coin_that_was_in_a_block_and_is_gone_was_taken_by_another(
    endpoint: Endpoint, coins: Coins, unspent: set[str], places: dict[str, dict[str, Any]]
) -> None:
    coins.in_blocks, coins.places = unspent, places
    assert await outcome_of(endpoint) is BroadcastOutcome.NONCE_USED


@pytest.mark.parametrize("place", [UNKNOWN, LEFT_BEHIND, IN_POOL])
async def test_a_coin_that_is_in_no_block_was_not_taken(
    endpoint: Endpoint, coins: Coins, place: dict[str, Any]
) -> None:
    coins.in_blocks, coins.places = {SECOND}, {FIRST: place, SECOND: MINED}
    assert await outcome_of(endpoint) is BroadcastOutcome.REFUSED


async def test_a_node_without_index_says_nothing_of_coins_that_are_gone(
    endpoint: Endpoint, coins: Coins
) -> None:
    coins.places = {ID: UNKNOWN | {"message": "No such mempool transaction. Use -txindex"}}
    with pytest.raises(NodeUnavailable, match="txindex=1"):
        await outcome_of(endpoint)


@pytest.mark.parametrize(
    "sent", [FIRST, {"code": -28, "message": "Loading block index"}, {"code": -1, "message": "?"}]
)
async def test_what_is_nothing_certain_is_no_outcome(
    endpoint: Endpoint, coins: Coins, sent: object
) -> None:
    coins.sent = sent
    with pytest.raises(NodeUnavailable):
        await outcome_of(endpoint)
