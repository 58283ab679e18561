"""Numbers that no chain has never leave an adapter: they would stop whoever writes them down."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain_adapters.bounds import COUNT_LIMIT, MINOR_LIMIT, TIME_LIMIT, check_answer
from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.types import Block, NodeUnavailable, Quote, Tip, Token, Transaction, Transfer

TRANSFER = Transfer("value", "0xa", "0xb", None, 5)
NUL = "\0" * 40


def block(
    *,
    height: int = 7,
    time: int = 0,
    clock: int = 0,
    fee_minor: int | None = 1,
    id_: str = "0xc",
    transfer: Transfer = TRANSFER,
) -> Block:
    transaction = Transaction(id_, "0xa", True, fee_minor, (transfer,))
    return Block(height, "0xd", "0xe", time, (transaction,), clock)


def transfer(amount_minor: int, sender: str | None = None, address: str = "0xb") -> Transfer:
    return Transfer("value", sender, address, None, amount_minor)


def quote(fee_minor: int = 0, nonce: int | None = None, held_minor: int | None = None) -> Quote:
    return Quote(fee_minor, nonce, b"", held_minor, held_minor)


@pytest.mark.parametrize(
    "answer",
    [
        block(),
        block(height=COUNT_LIMIT - 1, time=TIME_LIMIT - 1, clock=COUNT_LIMIT - 1),
        block(fee_minor=None),
        block(fee_minor=-(10**9)),
        block(transfer=transfer(2**256 - 1)),
        Block(0, "0xd", "", 0, ()),
        Tip(0, "0xd"),
        Tip(9, "0xd", 8, 7),
        quote(),
        quote(2**256 - 1, COUNT_LIMIT - 1, 2**256 - 1),
        [0, 2**256 - 1],
        [],
        Token(None),
        Token(255, "USDT"),
        None,
    ],
)
def test_what_a_chain_can_have_is_taken(answer: object) -> None:
    check_answer(answer)


@pytest.mark.parametrize(
    "answer",
    [
        block(height=-1),
        block(height=COUNT_LIMIT),
        block(time=-1),
        block(time=TIME_LIMIT),
        block(clock=-1),
        block(clock=2**63),
        block(fee_minor=MINOR_LIMIT),
        block(fee_minor=-MINOR_LIMIT),
        block(id_=NUL),
        block(transfer=transfer(-1)),
        block(transfer=transfer(MINOR_LIMIT)),
        block(transfer=transfer(1, sender=NUL)),
        block(transfer=transfer(1, address=NUL)),
        Block(7, NUL, "0xe", 0, ()),
        Block(7, "0xd", NUL, 0, ()),
        Block(7, "0xd", "0xe", 0, (Transaction("0xc", NUL, True, 1),)),
        Tip(-1, "0xd"),
        Tip(2**63, "0xd"),
        Tip(7, "0xd", finalized_height=2**64),
        Tip(7, "0xd", safe_height=-1),
        Tip(7, NUL),
        quote(fee_minor=-1),
        quote(fee_minor=MINOR_LIMIT),
        quote(nonce=-1),
        quote(nonce=2**64 - 1),
        quote(held_minor=-1),
        quote(held_minor=MINOR_LIMIT),
        Quote(0, None, b"", 0, MINOR_LIMIT),
        Quote(0, None, b"", MINOR_LIMIT, 0),
        [0, -1],
        [MINOR_LIMIT],
        Token(256),
        Token(-1),
        Token(6, NUL),
    ],
)
def test_what_no_chain_can_have_is_a_lie(answer: object) -> None:
    with pytest.raises(NodeUnavailable, match="that no chain has"):
        check_answer(answer)


async def test_an_endpoint_whose_numbers_are_none_is_passed_over() -> None:
    async with TestServer(node(hex(2**63))) as liar, TestServer(node("0x7")) as honest:
        urls = [str(server.make_url("/")) for server in (liar, honest)]
        adapter = EthereumAdapter("eip155:5", urls)
        tips = adapter.watch_tip()
        assert (await anext(tips)).height == 7
        await tips.aclose()
        await adapter.close()


async def test_what_is_final_above_the_tip_is_not_told() -> None:
    async with TestServer(node("0x7", finalized="0x8")) as server:
        adapter = EthereumAdapter("eip155:5", [str(server.make_url("/"))])
        tips = adapter.watch_tip()
        tip = await anext(tips)
        assert (tip.height, tip.safe_height, tip.finalized_height) == (7, 7, None)
        await tips.aclose()
        await adapter.close()


def node(latest: str, finalized: str | None = None) -> web.Application:
    """Serve a chain whose tip has this number, and its safe block too."""
    numbers = {"latest": latest, "safe": latest, "finalized": finalized or latest}

    async def answer(request: web.Request) -> web.Response:
        calls = json.loads(await request.text())
        if isinstance(calls, dict):
            return web.json_response({"id": calls["id"], "result": "0x5"})
        heads = ({"number": numbers[c["params"][0]], "hash": "0x" + 64 * "a"} for c in calls)
        return web.json_response(
            [{"id": c["id"], "result": head} for c, head in zip(calls, heads, strict=True)]
        )

    application = web.Application()
    application.router.add_post("/", answer)
    return application
