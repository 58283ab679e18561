"""What is known of jetton masters: for how long, and from whom."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from pytoniq_core import Address, Cell, begin_cell

from chain_adapters.http import HttpClient
from chain_adapters.ton.adapter import TonAdapter
from chain_adapters.ton.tokens import GOOD_S
from chain_adapters.types import Token
from devstack.chains import ton as devstack_ton
from devstack.chains.ton import TonNode
from tests.support.adapter_contract import accept, pay
from tests.support.chain_worlds.ton import TonWorld, open_ton_world
from tests.support.ton_vectors import boc
from tests.support.wrapped_http import WrappedHttp

TON = 10**9
JETTON = json.loads(Path(devstack_ton.__file__).with_name("ton_jetton.json").read_text())
WALLET_CODE = Cell.one_from_boc(JETTON["wallet_code"])
OTHER_CODE = begin_cell().store_cell(WALLET_CODE).store_ref(begin_cell().end_cell()).end_cell()
"""Does the same, and has another hash."""
BANK = Address((0, sha256(b"bank").digest()))


@pytest.fixture
async def world(ton_node: TonNode) -> AsyncIterator[TonWorld]:
    opened = await open_ton_world(ton_node)
    await opened.chain.drive("hops", hops=100)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: TonWorld) -> str:
    address = world.new_address()
    await world.fund(address, 1000 * TON)
    return address


async def give_wallet_code(world: TonWorld, token: str, code: Cell) -> None:
    """Let a master give its wallets this code from now on, as an issuer can."""
    content = begin_cell().store_uint(1, 8).end_cell()
    data = begin_cell().store_coins(0).store_address(BANK).store_ref(content).store_ref(code)
    minter = JETTON["minter_code"]
    await world.chain.drive("deploy", address=token, code=minter, data=boc(data.end_cell()))


async def mint(world: TonWorld, token: str, owner: str, amount_minor: int) -> None:
    """Let a master make jettons for an owner."""
    order = begin_cell().store_uint(0x178D4519, 32).store_uint(0, 64).store_coins(amount_minor)
    order = order.store_address(None).store_address(None).store_coins(0).store_bit(0)
    body = begin_cell().store_uint(JETTON["mint_opcode"], 32).store_uint(0, 64)
    body = body.store_address(Address(owner)).store_coins(10**8).store_ref(order.end_cell())
    await world.chain.drive("pay", address=token, amount=str(TON), body=boc(body.end_cell()))
    await world.mine()


async def jettons_to(world: TonWorld, address: str, since: int) -> list[int]:
    found = await world.transfers_to(address, since)
    return [transfer.amount_minor for transfer in found if transfer.contract is not None]


class Clock:
    """Time as the adapter's memory of jettons has it."""

    def __init__(self, adapter: TonAdapter) -> None:
        self.now = 0.0
        adapter._tokens._clock = lambda: self.now


async def test_wallets_of_new_code_count_without_a_new_start(world: TonWorld, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    clock, since = Clock(world.adapter), await world.height()
    await mint(world, token, sender, 1)
    assert await jettons_to(world, sender, since) == [1]

    await give_wallet_code(world, token, OTHER_CODE)
    clock.now = GOOD_S
    since = await world.height()
    await mint(world, token, sender, 2)
    assert await jettons_to(world, sender, since) == [2]


async def test_wallets_that_the_master_gives_no_longer_do_not_count(
    world: TonWorld, sender: str
) -> None:
    """Whoever holds what the issuer has given up could be credited with it."""
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    clock, since = Clock(world.adapter), await world.height()
    await accept(world, await world.order(pay(sender, recipient, 60, token)))
    await world.mine()
    assert await jettons_to(world, recipient, since) == [60]

    order = await world.order(pay(sender, recipient, 30, token))
    await give_wallet_code(world, token, OTHER_CODE)
    clock.now = GOOD_S
    since = await world.height()
    await accept(world, order)
    await world.mine()
    assert await jettons_to(world, recipient, since) == []


async def test_a_master_that_does_not_answer_any_more_has_changed_nothing(
    world: TonWorld, sender: str
) -> None:
    token = await world.issue_token(sender, 100)
    clock, since = Clock(world.adapter), await world.height()
    await mint(world, token, sender, 1)
    assert await jettons_to(world, sender, since) == [1]

    since = await world.height()
    await mint(world, token, sender, 2)
    await world.deploy(begin_cell().store_uint(0xFF00, 16).end_cell(), token)
    clock.now = GOOD_S
    assert await jettons_to(world, sender, since) == [2]


async def test_contracts_that_are_no_masters_are_no_tokens(world: TonWorld, sender: str) -> None:
    """One that takes everything and answers nothing, and a wallet of jettons."""
    token = await world.issue_token(sender, 100)
    silent = await world.deploy(begin_cell().store_uint(0xFF00, 16).end_cell())
    for contract in (silent, await world.jetton_wallet(token, sender)):
        assert await world.adapter.fetch_token(contract) is None


async def test_a_jetton_that_tells_of_itself_in_a_file_has_no_decimals_on_the_chain(
    world: TonWorld, sender: str
) -> None:
    token = await world.issue_token(sender, 100)
    assert await world.adapter.fetch_token(token) == Token(9, "T")
    await give_wallet_code(world, token, WALLET_CODE)
    assert await world.adapter.fetch_token(token) == Token(None)


class LyingHttp(WrappedHttp):
    """Asks as another client does; one server names another code, until it falls silent."""

    def __init__(self, honest: HttpClient, liar: str) -> None:
        super().__init__(honest)
        self.silent = False
        self._liar = liar

    async def fetch(
        self,
        url: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, str | None]:
        if url == self._liar and self.silent:
            return 0, b"", "no answer"
        status, raw, fault = await self._honest.fetch(url, path, query, body, form)
        if url == self._liar and isinstance(body, dict) and body["method"] == "get_jetton_data":
            answer = json.loads(raw)
            answer["stack"][4]["value"] = boc(OTHER_CODE)
            raw = json.dumps(answer).encode()
        return status, raw, fault


async def test_what_one_endpoint_says_of_a_master_is_not_believed_of_others(
    world: TonWorld, ton_node: TonNode, sender: str
) -> None:
    token = await world.issue_token(sender, 100)
    liar, honest = ton_node.rpc_url, ton_node.rpc_url + "/"
    adapter = TonAdapter("ton:sandbox", [liar, honest], contracts=[token])
    http = adapter._rpc.http = LyingHttp(adapter._rpc.http, liar)
    world.adapter, own = adapter, world.adapter
    since = await world.height()
    await mint(world, token, sender, 1)
    assert await jettons_to(world, sender, since) == []
    http.silent = True
    assert await jettons_to(world, sender, since) == [1]
    await own.close()
