"""Deposits and frauds on TON as the network's own executor runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pytoniq_core import begin_cell

from chain_adapters.ton.decode import Held
from chain_adapters.types import NodeUnavailable
from devstack.chains.ton import TonNode
from tests.support.chain_worlds.ton import TonWorld, open_ton_world
from tests.support.ton_vectors import boc, body, comment, internal_transfer

TON = 10**9
ACCEPTS = begin_cell().store_uint(0xFF00, 16).end_cell()
"""SETCP0: a contract that takes everything."""


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


async def test_a_deposit_arrives_at_an_undeployed_wallet_with_its_memo(world: TonWorld) -> None:
    address, before = world.new_address(), await world.height()
    await world.chain.pay(address, 5 * TON, "text:order 5")
    await world.mine()
    [transfer] = await world.transfers_to(address, before)
    assert (transfer.amount_minor, transfer.memo) == (5 * TON, "text:order 5")


async def test_two_payments_in_one_block_are_two_deposits(world: TonWorld) -> None:
    address, before = world.new_address(), await world.height()
    for _ in range(2):
        await world.chain.pay(address, TON)
    await world.mine()
    found = [t for t in await world.transactions_since(before) if t.transfers]
    assert len({t.id for t in found}) == len(found) == 2


async def test_a_bounceable_deposit_to_an_undeployed_wallet_goes_back(world: TonWorld) -> None:
    address, before = world.new_address(), await world.height()
    await world.chain.drive("pay", address=address, amount=str(TON), bounce=True)
    await world.mine()
    assert await world.transfers_to(address, before) == []
    assert await world.balance(address, None, 0) == 0


async def test_jettons_are_credited_once_with_their_memo(world: TonWorld, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    before = await world.height()
    await world.chain.pay_token(token, sender, 7, "text:42")
    await world.mine()
    found = [t for t in await world.transfers_to(sender, before) if t.contract is not None]
    assert [(t.contract, t.amount_minor, t.memo) for t in found] == [(token, 7, "text:42")]


async def test_jettons_without_a_notification_are_credited(world: TonWorld, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    recipient, before = world.new_address(), await world.height()
    arguments = {"contract": token, "address": recipient, "amount": "7", "forward": "0"}
    await world.chain.drive("pay-token", **arguments)
    await world.mine()
    [transfer] = await world.transfers_to(recipient, before)
    assert (transfer.contract, transfer.amount_minor) == (token, 7)


async def test_a_wallet_is_believed_only_if_its_master_says_so(
    world: TonWorld, sender: str
) -> None:
    """Where no message names the owner, the contract is asked, and then its master."""
    token = await world.issue_token(sender, 100)
    fake = await world.chain.issue_token("T")
    await world.chain.pay_token(fake, sender, 7)
    await world.mine()
    genuine = await world.jetton_wallet(token, sender)
    other = await world.jetton_wallet(fake, sender)  # known from now on, and listed no more
    stranger = await world.deploy(ACCEPTS)
    found = [await world.owner_told_by(address) for address in (genuine, other, stranger)]
    assert found == [Held(sender, token), None, None]


async def test_a_jetton_that_is_not_listed_is_no_money(world: TonWorld) -> None:
    address = world.new_address()
    fake = await world.chain.issue_token("USDT")
    before = await world.height()
    await world.chain.pay_token(fake, address, 10**9)
    await world.mine()
    found = await world.transfers_to(address, before)
    assert [(t.contract, t.amount_minor) for t in found] == [(None, 1)]


async def test_a_jetton_of_the_same_code_is_not_the_listed_one(
    world: TonWorld, sender: str
) -> None:
    genuine = await world.chain.issue_token("USDT")
    fake = await world.chain.issue_token("USDt")
    world.open_adapter(genuine)
    before = await world.height()
    await world.chain.pay_token(fake, sender, 10**9)
    await world.mine()
    assert all(t.contract is None for t in await world.transfers_to(sender, before))


async def test_messages_about_jettons_are_no_jettons(world: TonWorld, sender: str) -> None:
    """A stranger says that jettons came, to a person and to a jetton wallet."""
    token = await world.issue_token(sender, 100)
    wallet_address = await world.jetton_wallet(token, sender)
    before = await world.height()
    notification = body((0x7362D09C, 32), (0, 64), (1, 4), (99, 8), address=sender)
    for address, forged in [
        (sender, notification),
        (sender, internal_transfer(99)),
        (wallet_address, internal_transfer(99)),
    ]:
        await world.chain.drive("pay", address=address, amount=str(TON), body=boc(forged))
    await world.mine()
    assert all(t.contract is None for t in await world.transfers_to(sender, before))
    assert await world.balance(sender, token, 0) == 100


async def test_a_wallet_that_only_looks_like_one_of_the_master_is_none(
    world: TonWorld, sender: str
) -> None:
    """A contract with other code takes an internal transfer and notifies, as it likes."""
    await world.issue_token(sender, 100)
    fake = await world.deploy(ACCEPTS)
    before = await world.height()
    await world.chain.drive(
        "pay", address=fake, amount=str(TON), body=boc(internal_transfer(99, comment("1")))
    )
    await world.mine()
    found = await world.transactions_since(before)
    assert all(t.contract is None for x in found for t in x.transfers)


async def test_a_master_that_is_none_stops_reading(world: TonWorld) -> None:
    world.open_adapter("0:" + 64 * "9")
    with pytest.raises(NodeUnavailable, match="no jetton master"):
        await world.adapter.fetch_block(await world.height())
