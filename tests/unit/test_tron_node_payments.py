"""Paying on the simulated TRON node: fees, refusals, expiry and broadcasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from chain_adapters.tron.pay import Terms
from chain_adapters.tron.protobuf import read_expiration
from chain_adapters.tron.quoting import LIFETIME_MS
from chain_adapters.types import (
    BroadcastOutcome,
    Holding,
    NodeUnavailable,
    Payment,
    PaymentRefused,
    SignedTransaction,
)
from devstack.chains.tron import TronNode
from tests.support.chain_worlds.tron import TronWorld, open_tron_world
from tests.support.tron_gateway import TronGateway
from tests.support.tron_node import read_newest, refusal_of, send


@pytest.fixture
async def world(tron_node: TronNode) -> AsyncIterator[TronWorld]:
    opened = await open_tron_world(tron_node)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: TronWorld) -> str:
    address = world.new_address()
    await world.fund(address, world.funds_minor)
    return address


async def test_the_first_trx_of_an_account_costs_its_activation(
    world: TronWorld, sender: str
) -> None:
    payment = Payment(sender, world.new_address(), None, 5)
    quote = await world.adapter.quote(payment)
    assert quote.fee_minor_max == 1_100_000
    assert (await send(world, payment)).fee_minor == 1_100_000
    assert (await world.adapter.quote(payment)).fee_minor_max < 300_000


async def test_free_bandwidth_is_used_up_and_then_burned(world: TronWorld, sender: str) -> None:
    recipient = world.new_address()
    await world.fund(recipient, 5)
    quote = await world.adapter.quote(Payment(sender, recipient, None, 5))
    fees = [(await send(world, Payment(sender, recipient, None, 5))).fee_minor for _ in range(4)]
    assert fees == [0, 0, quote.fee_minor_max, quote.fee_minor_max]


async def test_tokens_do_not_activate_their_recipient(world: TronWorld, sender: str) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    await send(world, Payment(sender, recipient, token, 60))
    assert await world.adapter.fetch_balances([Holding(recipient, token)], 10**9) == [60]
    activation = await world.adapter.quote(Payment(sender, recipient, None, 5))
    assert activation.fee_minor_max == 1_100_000


async def test_a_first_holder_costs_twice_the_energy(world: TronWorld, sender: str) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    payment = Payment(sender, recipient, token, 5)
    await send(world, Payment(sender, world.new_address(), token, 1))  # uses free bandwidth
    fees = [(await send(world, payment)).fee_minor or 0 for _ in range(2)]
    burned = [fee // 100_000 * 100_000 for fee in fees]
    assert [fee % 1_000 for fee in fees] == [0, 0]
    assert burned[0] - burned[1] in {1_400_000, 1_500_000, 1_600_000}


async def test_a_busy_contracts_penalty_is_in_the_estimate(world: TronWorld, sender: str) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    await world.chain.set_token(token, penalty=33_880)
    payment = Payment(sender, recipient, token, 5)
    quote = await world.adapter.quote(payment)
    fee_minor = (await send(world, payment)).fee_minor or 0
    assert 13_000_000 < fee_minor <= quote.fee_minor_max < 2 * fee_minor


async def test_the_limit_bears_a_recipient_that_empties_its_account_meanwhile(
    world: TronWorld, sender: str
) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    await world.fund(recipient, 10**9)
    await send(world, Payment(sender, recipient, token, 5))
    signed = await world.order(Payment(sender, recipient, token, 7))
    await send(world, Payment(recipient, sender, token, 5))
    await world.adapter.broadcast(signed)
    await world.mine()
    [transaction] = await read_newest(world)
    assert transaction.succeeded
    assert [t.amount_minor for t in transaction.transfers] == [7]


async def test_energy_that_grows_beyond_the_limit_burns_it_and_moves_nothing(
    world: TronWorld, sender: str
) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    payment = Payment(sender, recipient, token, 5)
    unsigned = await world.build(payment)
    await world.chain.set_token(token, penalty=100_000)
    await world.adapter.broadcast(world.sign(unsigned))
    await world.mine()
    [transaction] = await read_newest(world)
    assert (transaction.succeeded, transaction.transfers) == (False, ())
    assert 3_000_000 < (transaction.fee_minor or 0) <= unsigned.fee_minor_max


async def test_staked_energy_pays_for_a_sender_without_trx_to_burn(world: TronWorld) -> None:
    holder, recipient = world.new_address(), world.new_address()
    await world.fund(holder, 10)
    token = await world.issue_token(holder, 100)
    payment = Payment(holder, recipient, token, 5)
    assert await refusal_of(world, payment) == "sender_lacks_funds"
    await world.chain.stake_energy(holder, 65_000)
    quote = await world.adapter.quote(payment)
    assert quote.fee_minor_max > 0  # if the energy were used up by then
    assert (await send(world, payment)).fee_minor == 0


async def test_staked_trx_is_not_there_to_be_paid(world: TronWorld, sender: str) -> None:
    """So a wallet's means are what can leave it now (within_means counts what a quote says)."""
    held_minor, free_minor = await world.balance(sender, None, await world.height()), 50_000_000
    await world.chain.stake_energy(sender, 100_000, staked_minor=held_minor - free_minor)
    quote = await world.adapter.quote(Payment(sender, world.new_address(), None, 40_000_000))
    assert quote.held_minor == quote.held_native_minor == free_minor
    more = Payment(sender, world.new_address(), None, free_minor + 1)
    assert await refusal_of(world, more) == "sender_lacks_funds"


async def test_payments_that_cannot_succeed_are_refused(world: TronWorld, sender: str) -> None:
    token, recipient, poor = (
        await world.issue_token(sender, 100),
        world.new_address(),
        world.new_address(),
    )
    refused = [
        await refusal_of(world, payment)
        for payment in (
            Payment(poor, recipient, None, 5),
            Payment(sender, recipient, None, world.funds_minor - 1_000_000),
            Payment(sender, recipient, token, 101),
            Payment(sender, sender, None, 5),
            Payment(sender, token, None, 5),
            Payment(sender, token, token, 5),
            Payment(sender, recipient, poor, 5),
            Payment(sender, recipient, None, 2**63),
            Payment(sender, recipient, token, 2**256),
        )
    ]
    assert refused == [
        "sender_lacks_funds",
        "sender_lacks_funds",
        "sender_lacks_funds",
        "recipient_is_sender",
        "recipient_is_contract",
        "recipient_is_token",
        "token_missing",
        "amount_too_large",
        "amount_too_large",
    ]


async def test_a_frozen_or_paused_token_is_refused_with_its_own_words(
    world: TronWorld, sender: str
) -> None:
    token = await world.issue_token(sender, 100)
    payment = Payment(sender, world.new_address(), token, 5)
    await world.chain.set_token(token, frozen=sender)
    with pytest.raises(PaymentRefused, match=r"REVERT opcode executed: frozen") as refused:
        await world.adapter.quote(payment)
    assert refused.value.reason == "token_transfer_reverts"


async def test_a_fee_above_the_cap_is_refused(tron_node: TronNode, world: TronWorld) -> None:
    sender = world.new_address()
    await world.fund(sender, world.funds_minor)
    token = await world.issue_token(sender, 100)
    thrifty = await open_tron_world(tron_node, fee_minor_max=1_000_000)
    for contract in (None, token):
        payment = Payment(sender, world.new_address(), contract, 5)
        assert await refusal_of(thrifty, payment) == "fee_above_cap"
    await thrifty.close()


async def test_a_lower_cap_leaves_less_room_but_enough(
    tron_node: TronNode, world: TronWorld
) -> None:
    sender = world.new_address()
    await world.fund(sender, world.funds_minor)
    token = await world.issue_token(sender, 100)
    payment = Payment(sender, world.new_address(), token, 5)
    usual = await world.adapter.quote(payment)
    thrifty = await open_tron_world(tron_node, fee_minor_max=4_000_000)
    quote = await thrifty.adapter.quote(payment)
    await thrifty.close()
    assert quote.fee_minor_max <= 4_000_000 < usual.fee_minor_max


async def test_equal_payments_never_share_an_id(world: TronWorld, sender: str) -> None:
    payment = Payment(sender, world.new_address(), None, 5)
    signed = [await world.order(payment) for _ in range(20)]
    assert len({transaction.transaction_id for transaction in signed}) == 20


async def test_two_processes_quote_the_same_moment_differently(tron_node: TronNode) -> None:
    def at_noon() -> int:
        return 1_790_000_000_000

    worlds = [
        await open_tron_world(tron_node, clock_ms=at_noon, random_below=draw)
        for draw in (lambda _: 5, lambda _: 6)
    ]
    sender = worlds[0].new_address()
    await worlds[0].fund(sender, 10**9)
    payment = Payment(sender, worlds[0].new_address(), None, 5)
    first, second = [await world.build(payment) for world in worlds]
    again = await worlds[0].build(payment)
    assert len({first.body, second.body, again.body}) == 3
    for world in worlds:
        await world.close()


async def test_a_payment_refers_to_a_solidified_block(world: TronWorld, sender: str) -> None:
    await world.mine(30)
    quote = await world.adapter.quote(Payment(sender, world.new_address(), None, 5))
    terms = msgspec.json.decode(quote.parameters, type=Terms)
    assert int(terms.ref_block_id[:16], 16) == await world.height() - 18


async def test_a_payment_survives_a_reorganisation(world: TronWorld, sender: str) -> None:
    await world.mine(20)
    signed = await world.order(Payment(sender, world.new_address(), None, 5))
    await world.reorganise(18)
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED


async def head_ms(world: TronWorld) -> int:
    """Return the time of the head, of which a Block tells whole seconds."""
    head = await world.chain.call("wallet/getblock", detail=False)
    return int(head["block_header"]["raw_data"]["timestamp"])


async def mine_up_to(world: TronWorld, time_ms: int) -> None:
    """Make the head the last block that is not later. Blocks are 3 s apart."""
    while (blocks := (time_ms - await head_ms(world)) // 3_000) > 0:
        await world.mine((blocks + 1) // 2)  # the first comes no sooner than now


async def test_a_block_can_carry_a_transaction_up_to_its_clock(
    world: TronWorld, sender: str
) -> None:
    unsigned = await world.build(Payment(sender, world.new_address(), None, 5))
    signed = world.sign(unsigned)
    valid_until = unsigned.valid_until
    assert valid_until is not None
    # The last block that can carry it is built on a head before the expiration.
    await mine_up_to(world, valid_until)
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED
    await world.mine()
    carrier = await world.adapter.fetch_block(await world.height())
    assert carrier is not None
    assert [t.id for t in carrier.transactions] == [signed.transaction_id]
    assert carrier.clock <= valid_until < await head_ms(world)
    await world.mine()
    after = await world.adapter.fetch_block(await world.height())
    assert after is not None
    assert after.clock > valid_until


async def test_an_expired_transaction_is_refused_and_in_no_block(
    world: TronWorld, sender: str
) -> None:
    signed = await world.order(Payment(sender, world.new_address(), None, 5))
    await world.mine(LIFETIME_MS // 3_000 + 30)
    answer = await world.adapter.broadcast(signed)
    assert answer.outcome is BroadcastOutcome.REFUSED
    assert "TRANSACTION_EXPIRATION_ERROR" in answer.detail


async def test_an_expired_transaction_that_is_in_a_block_is_known(
    world: TronWorld, sender: str
) -> None:
    signed = await world.order(Payment(sender, world.new_address(), None, 5))
    await world.adapter.broadcast(signed)
    await world.mine(LIFETIME_MS // 3_000 + 30)
    answer = await world.adapter.broadcast(signed)
    assert (answer.outcome, answer.detail) == (BroadcastOutcome.ACCEPTED, "already in a block")


async def test_what_a_node_saw_before_is_refused_once_it_expired_and_is_in_no_block(
    tron_node: TronNode, world: TronWorld, sender: str
) -> None:
    """Some nodes remember for an hour what they were sent, and look there before all else."""
    signed = await world.order(Payment(sender, world.new_address(), None, 5))
    mined = await world.order(Payment(sender, world.new_address(), None, 6))
    await world.adapter.broadcast(mined)
    async with TronGateway(tron_node.rpc_url).running() as gateway:
        remembering = await open_tron_world(tron_node, rpc_url=gateway.url)
        gateway.instead["wallet/broadcasthex"] = lambda _: {"code": "DUP_TRANSACTION_ERROR"}
        await mine_up_to(world, read_expiration(signed.raw) - 1)
        answers = [await remembering.adapter.broadcast(signed)]
        await world.mine()
        answers.append(await remembering.adapter.broadcast(signed))
        await mine_up_to(world, read_expiration(mined.raw) + 3_000)
        answers.append(await remembering.adapter.broadcast(mined))
        await remembering.close()
    assert [(answer.outcome.value, answer.detail.split()[-1]) for answer in answers] == [
        ("accepted", "(DUP_TRANSACTION_ERROR)"),
        ("refused", "since"),
        ("accepted", "block"),
    ]


async def test_an_accepted_transaction_may_be_in_no_block(world: TronWorld, sender: str) -> None:
    held = world.funds_minor - 2_000_000
    both = [await world.order(Payment(sender, world.new_address(), None, held)) for _ in range(2)]
    answers = [(await world.adapter.broadcast(signed)).outcome for signed in both]
    await world.mine()
    assert answers == [BroadcastOutcome.ACCEPTED] * 2
    assert [t.id for t in await read_newest(world)] == [both[0].transaction_id]


async def test_a_busy_node_is_no_outcome(world: TronWorld, sender: str) -> None:
    signed = await world.order(Payment(sender, world.new_address(), None, 5))
    await world.chain.misbehave("busy")
    with pytest.raises(NodeUnavailable, match="SERVER_BUSY"):
        await world.adapter.broadcast(signed)
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED


async def test_a_broadcast_without_answer_is_unknown_and_sent_again(
    world: TronWorld, sender: str
) -> None:
    signed = await world.order(Payment(sender, world.new_address(), None, 5))
    await world.chain.misbehave("silent")
    with pytest.raises(NodeUnavailable):
        await world.adapter.broadcast(signed)
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED
    await world.mine()
    assert [t.id for t in await read_newest(world)] == [signed.transaction_id]


async def test_bytes_that_are_no_transaction_are_no_outcome(world: TronWorld) -> None:
    with pytest.raises(NodeUnavailable):
        await world.adapter.broadcast(SignedTransaction("0" * 64, b"\xff\xff"))


async def test_tokens_that_left_while_a_payment_was_tried_are_waited_for(
    tron_node: TronNode, world: TronWorld, sender: str
) -> None:
    """Another payment of the wallet landed after its balance was read and before the trial."""
    token = await world.issue_token(sender, 100)
    payment = Payment(sender, world.new_address(), token, 60)
    async with TronGateway(tron_node.rpc_url).running() as gateway:
        poorer = await open_tron_world(tron_node, rpc_url=gateway.url)
        told = iter([f"{held_minor:064x}" for held_minor in (100, 40)])

        def answer(body: dict[str, Any]) -> dict[str, Any]:
            if body["function_selector"] == "balanceOf(address)":
                return {"result": {"result": True}, "constant_result": [next(told)]}
            return {"result": {"result": True, "message": b"REVERT opcode executed".hex()}}

        gateway.instead["wallet/triggerconstantcontract"] = answer
        assert await refusal_of(poorer, payment) == "sender_lacks_funds"
        await poorer.close()
