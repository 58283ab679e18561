"""Withdrawals in coins on a real node: one payment, whatever is replaced, lost or reorganised."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from chain_adapters.types import Coin, Payment
from devstack.chains.bitcoin import BitcoinNode
from devstack.postgres import Postgres
from tests.support.coin_withdrawals import (
    PAID,
    REORG_DEPTH_MAX,
    WHOLE,
    PayingCoinWorld,
    open_coin_world,
    order,
    order_twice_tried,
)
from tests.support.nodes import require_node
from tests.support.withdrawals import CONFIRMATIONS


async def check(world: PayingCoinWorld, *addresses: str) -> None:
    """All is well: these were paid once, and nothing else happened."""
    await world.finish()
    assert all(order.status == "confirmed" for order in await world.withdrawals())
    for address in addresses:
        assert len(await world.paid(address)) == 1
    await world.check_no_double_payment()
    await world.check_books()


async def test_change_is_a_coin_once_it_is_in_a_block_and_not_before(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    first, second = await order(world, "first"), await order(world, "second")
    assert (await world.withdrawal("second")).status == "approved"
    await world.mine()
    assert (await world.withdrawal("first")).status == "broadcast"
    await world.retry()
    [one], [other] = await world.spendings("first"), await world.spendings("second")
    assert other.coins == {f"{one.transaction_id}:1"}
    await check(world, first, second)


async def test_a_mined_coin_is_spent_after_100_blocks_and_not_before(
    world: PayingCoinWorld,
) -> None:
    await world.node.chain.mine_to(world.hot_wallet)
    await world.node.chain.mine(98)
    await world.follow()
    address = await order(world, "order")
    assert (await world.withdrawal("order")).status == "approved"
    await world.mine()
    await check(world, address)


async def test_withdrawals_at_the_same_time_have_coins_of_their_own(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE, WHOLE, WHOLE)
    commands = [world.command(f"order-{n}", PAID) for n in range(4)]
    await world.request(*commands)
    spent = [one.coins for one in await world.spendings()]
    assert len(spent) == len(frozenset.union(*spent)) == 3
    await check(world, *(command["address"] for command in commands))


async def test_of_three_attempts_any_may_land_and_no_other_after_it(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    address = await order(world, "order")
    for _ in range(2):
        await world.replace_due()
    attempts = await world.spendings("order")
    assert len(attempts) == 3
    for one in (attempts[1], attempts[0], attempts[2]):
        await world.land(one)
        assert await world.paid(address) == [PAID]
        for other in attempts:
            answer = await world.submit(other)
            assert answer.outcome == ("accepted" if other == one else "nonce_used")
        await world.mine()
        assert (await world.withdrawal("order")).status == "confirmed"
        await world.reorganise(2)
        assert (await world.withdrawal("order")).status == "broadcast"
        await world.check_no_double_payment()
    await check(world, address)


@pytest.mark.parametrize("attempts", [1, 3])
async def test_what_nodes_have_forgotten_is_sent_again(
    world: PayingCoinWorld, attempts: int
) -> None:
    """Evicted as fees rose, or the node was started anew."""
    await world.fund(WHOLE)
    address = await order(world, "order")
    for _ in range(attempts - 1):
        await world.replace_due()
    await world.node.chain.clear_pool()
    await world.mine(2)
    assert await world.paid(address) == []
    await check(world, address)
    assert len(await world.spendings("order")) == attempts


class StricterNode(BitcoinNode):
    """Takes less for dust than others do: its owner has set it so."""

    def _command(self) -> list[str]:
        return [*super()._command(), "-dustrelayfee=0.0003"]


async def test_change_that_only_this_node_takes_for_dust_goes_to_the_fee_of_a_replacement(
    postgres: Postgres, template_database: str, servers_dir: Path
) -> None:
    """Bytes that a node refuses for ever are sent again and again; the way out is a replacement."""
    require_node("bitcoin")
    with StricterNode(servers_dir / f"stricter-{secrets.token_hex(6)}") as node:
        async with open_coin_world(postgres, template_database, node) as world:
            await world.fund(PAID + 500)
            address = await order(world, "order")
            await world.retry()
            [attempt] = await world.attempts("order")
            assert (attempt.last_outcome, attempt.last_detail) == ("refused", "dust (code -26)")
            assert (await world.withdrawal("order")).status == "signed"
            await world.replace_due()
            await check(world, address)
            assert len(await world.attempts("order")) == 2


async def tight_coin(world: PayingCoinWorld) -> int:
    """Return an amount that is enough for the payment at the fee of now, and for no replacement."""
    wallet, recipient = world.hot_wallet, world.node.new_address()
    quote = await world.adapter.quote(Payment(wallet, recipient, None, PAID))
    coins = [Coin("ab" * 32 + ":0", WHOLE)]
    payment = Payment(wallet, recipient, None, PAID)
    unsigned = world.adapter.build(payment, quote, None, coins=coins)
    return PAID + unsigned.fee_minor_max


async def replaced_with_another_coin(world: PayingCoinWorld) -> str:
    """Bring about a withdrawal whose second attempt spends a coin more than the first."""
    tight = await tight_coin(world)
    await world.fund(tight, WHOLE)
    address, first, second = await order_twice_tried(world, "order")
    assert (len(first.coins), len(second.coins)) == (1, 2)
    assert first.coins < second.coins
    return address


async def test_a_coin_that_only_a_replacement_spends_is_kept_while_that_could_land(
    world: PayingCoinWorld,
) -> None:
    address = await replaced_with_another_coin(world)
    first, second = await world.spendings("order")
    await world.land(first)
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order")).status == "confirmed"
    other = await order(world, "other")
    assert (await world.withdrawal("other")).status == "approved"
    await world.reorganise(CONFIRMATIONS + 1)
    await world.land(second)
    await check(world, address)
    assert (await world.states("order")) == {"mined": 1, "superseded": 1}
    await check(world, address, other)


async def test_and_is_free_once_no_reorganisation_reaches_so_deep(world: PayingCoinWorld) -> None:
    address = await replaced_with_another_coin(world)
    first, second = await world.spendings("order")
    await world.land(first)
    await world.mine(REORG_DEPTH_MAX - 1)
    other = await order(world, "other")
    assert (await world.withdrawal("other")).status == "approved"
    await world.mine()
    await world.retry()
    [one] = await world.spendings("other")
    assert one.coins == second.coins - first.coins
    await check(world, address, other)


async def test_and_is_kept_for_longer_when_a_reorganisation_opens_the_payment_again(
    world: PayingCoinWorld,
) -> None:
    await replaced_with_another_coin(world)
    first, second = await world.spendings("order")
    await world.land(first)
    await world.mine(REORG_DEPTH_MAX - 2)
    assert (await world.withdrawal("order")).status == "confirmed"
    await world.reorganise(REORG_DEPTH_MAX - 1)
    await world.mine(2)
    await world.retry()
    assert second.coins <= set(await world.claims())


@pytest.mark.parametrize("settled", [False, True])
async def test_after_a_reorganisation_only_the_attempt_is_sent_whose_change_is_spent_further(
    world: PayingCoinWorld, *, settled: bool
) -> None:
    """Any other would take the coin away from under the second payment, for good."""
    await world.fund(WHOLE)
    first, early, late = await order_twice_tried(world, "first")
    await world.land(early)
    if settled:
        await world.mine(CONFIRMATIONS)
    second = await order(world, "second")
    assert (await world.withdrawal("second")).status == "broadcast"
    await world.reorganise(CONFIRMATIONS + 1 if settled else 1)
    assert (await world.withdrawal("first")).status == "broadcast"
    for _ in range(3):
        await world.resend.run_once()
        await world.replace_due()
    assert [one.transaction_id for one in await world.spendings("first")] == [
        early.transaction_id,
        late.transaction_id,
    ]
    pool = await world.node.chain.call("getrawmempool")
    assert early.transaction_id in pool
    assert late.transaction_id not in pool
    await check(world, first, second)
    assert await world.states("first") == {"mined": 1, "superseded": 1}


async def test_a_coin_whose_deposit_left_the_chain_holds_its_payment_up_until_it_is_back(
    world: PayingCoinWorld,
) -> None:
    funding = await world.node.chain.pay(world.hot_wallet, WHOLE)
    raw = await world.node.chain.call("getrawtransaction", funding)
    await world.mine(CONFIRMATIONS)
    address = await order(world, "order")
    await world.reorganise(CONFIRMATIONS)
    await world.retry()
    assert (await world.attempts("order"))[-1].last_outcome == "refused"
    other = await order(world, "other", 10_000)
    assert (await world.withdrawal("other")).status == "approved"
    await world.node.chain.call("sendrawtransaction", raw)
    await check(world, address, other)
