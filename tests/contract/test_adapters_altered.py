"""Whatever stands in an answer, an adapter makes of it a fault of its endpoint or what a chain can
have: nothing else would be waited out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from random import Random

from chain_adapters.bounds import check_answer
from chain_adapters.rpc import RpcClient
from chain_adapters.types import AdapterError, Holding, Payment, Tip
from tests.support.adapter_contract import chains, send
from tests.support.altered_http import AlteredHttp
from tests.support.chain_worlds import CHAINS, World

ROUNDS = 80


@chains(lambda chain: chain is not CHAINS["simulated"])
async def test_odd_answers_are_faults_of_their_endpoint(world: World, sender: str) -> None:
    token = await world.issue_token(sender, 100) if world.has_tokens else ""
    payment = Payment(sender, world.new_address(), None, 10**7)
    await send(world, payment)
    height, signed = await world.height(), await world.order(payment)
    make_odd(world, Random(height))
    adapter = world.adapter
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: read_tip(world),
        lambda: adapter.fetch_block(height),
        lambda: adapter.fetch_token(token),
        lambda: adapter.fetch_balances([Holding(sender)], height),
        lambda: adapter.quote(payment),
        lambda: adapter.broadcast(signed),
    ]
    for ask in asked * ROUNDS:
        answer: object = None
        with suppress(AdapterError):
            answer = await ask()
        check_answer(answer)


async def read_tip(world: World) -> Tip:
    async with aclosing(world.adapter.watch_tip()) as tips:
        return await anext(tips)


def make_odd(world: World, choice: Random) -> None:
    """Let the adapter read altered answers from now on."""
    for client in vars(world.adapter).values():
        if isinstance(client, RpcClient):
            client.http = AlteredHttp(client.http, choice)
