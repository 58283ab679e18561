"""Payments that a chain with contracts would revert are refused before money moves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chain_adapters.types import Payment, PaymentRefused
from tests.support.chain_worlds import AnvilWorld, SimulatedWorld, open_anvil_world

FUNDS_MINOR = 10**18


@pytest.fixture(params=["simulated", "ethereum"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[SimulatedWorld | AnvilWorld]:
    opened: SimulatedWorld | AnvilWorld
    if request.param == "simulated":
        opened = SimulatedWorld()
    else:
        opened = await open_anvil_world(request.getfixturevalue("anvil"))
    yield opened
    await opened.close()


async def test_a_recipient_that_reverts_is_refused(world: SimulatedWorld | AnvilWorld) -> None:
    sender = world.new_address()
    await world.fund(sender, FUNDS_MINOR)
    reverting = await world.make_reverting()
    with pytest.raises(PaymentRefused) as refused:
        await world.adapter.quote(Payment(sender, reverting, None, 5))
    assert refused.value.reason == "recipient_reverts"


async def test_tokens_without_fee_money_are_not_enough(world: SimulatedWorld | AnvilWorld) -> None:
    holder, recipient = world.new_address(), world.new_address()
    token = await world.issue_token(holder, 100)
    with pytest.raises(PaymentRefused) as refused:
        await world.adapter.quote(Payment(holder, recipient, token, 5))
    assert refused.value.reason == "sender_lacks_funds"
