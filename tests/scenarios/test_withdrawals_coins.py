"""Withdrawals in coins on a real node: one payment, whatever is replaced, lost or reorganised."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agents.runtime.transact import transact
from chain_adapters.types import Coin, Payment
from chain_adapters.utxo.pay import HALF_ORDER
from chain_adapters.utxo.transaction import encode_signature
from custody.approve import MayBePaid, cancel_withdrawal
from devstack.chains.bitcoin import BitcoinNode, DogecoinNode
from devstack.postgres import Postgres
from sql import wallets as wallets_sql
from tests.support.coin_withdrawals import REORG_DEPTH_MAX, PayingCoinWorld, open_coin_world
from tests.support.withdrawals import CONFIRMATIONS

WHOLE = 10**6
PAID = 400_000


@pytest.fixture
async def world(
    postgres: Postgres, template_database: str, bitcoin_node: BitcoinNode
) -> AsyncIterator[PayingCoinWorld]:
    async with open_coin_world(postgres, template_database, bitcoin_node) as opened:
        yield opened


async def order(world: PayingCoinWorld, order_id: str, amount_minor: int = PAID) -> str:
    """Order a payment and return the address that is to be paid."""
    command = world.command(order_id, amount_minor)
    await world.request(command)
    return str(command["address"])


async def check(world: PayingCoinWorld, *addresses: str) -> None:
    """All is well: these were paid once, and nothing else happened."""
    await world.finish()
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
    await world.resend.run_once()
    await world.settle()
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
        await world.replace.run_once()
        await world.settle()
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
        await world.replace.run_once()
        await world.settle()
    await world.node.chain.clear_pool()
    await world.mine(2)
    assert await world.paid(address) == []
    await check(world, address)
    assert len(await world.spendings("order")) == attempts


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
    address = await order(world, "order")
    await world.replace.run_once()
    await world.settle()
    first, second = await world.spendings("order")
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
    await world.resend.run_once()
    await world.settle()
    [one] = await world.spendings("other")
    assert one.coins == second.coins - first.coins
    await check(world, address, other)


@pytest.mark.parametrize("settled", [False, True])
async def test_after_a_reorganisation_only_the_attempt_is_sent_whose_change_is_spent_further(
    world: PayingCoinWorld, *, settled: bool
) -> None:
    """Any other would take the coin away from under the second payment, for good."""
    await world.fund(WHOLE)
    first = await order(world, "first")
    await world.replace.run_once()
    await world.settle()
    early, late = await world.spendings("first")
    await world.land(early)
    if settled:
        await world.mine(CONFIRMATIONS)
    second = await order(world, "second")
    assert (await world.withdrawal("second")).status == "broadcast"
    await world.reorganise(CONFIRMATIONS + 1 if settled else 1)
    assert (await world.withdrawal("first")).status == "broadcast"
    for _ in range(3):
        await world.resend.run_once()
        await world.replace.run_once()
        await world.settle()
    assert [one.transaction_id for one in await world.spendings("first")] == [
        early.transaction_id,
        late.transaction_id,
    ]
    pool = await world.node.chain.call("getrawmempool")
    assert early.transaction_id in pool
    assert late.transaction_id not in pool
    await check(world, first, second)
    assert await world.states("first") == {"mined": 1, "superseded": 1}


async def test_another_branchs_attempt_is_known_though_it_is_not_sent_any_more(
    world: PayingCoinWorld,
) -> None:
    """The second payment can never land then; that is told, and neither is paid twice."""
    await world.fund(WHOLE)
    first = await order(world, "first")
    await world.replace.run_once()
    await world.settle()
    early, late = await world.spendings("first")
    await world.land(early)
    await world.mine(CONFIRMATIONS)
    second = await order(world, "second")
    await world.reorganise(CONFIRMATIONS + 2)
    await world.land(late)
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("first")).status == "confirmed"
    await world.resend.run_once()
    await world.settle()
    [attempt] = await world.attempts("second")
    assert attempt.last_outcome == "refused"
    assert (await world.paid(first), await world.paid(second)) == ([PAID], [])
    await world.check_no_double_payment()


async def test_a_coin_whose_deposit_left_the_chain_holds_its_payment_up_until_it_is_back(
    world: PayingCoinWorld,
) -> None:
    funding = await world.node.chain.pay(world.hot_wallet, WHOLE)
    raw = await world.node.chain.call("getrawtransaction", funding)
    await world.mine(CONFIRMATIONS)
    address = await order(world, "order")
    await world.reorganise(CONFIRMATIONS)
    await world.resend.run_once()
    await world.settle()
    assert (await world.attempts("order"))[-1].last_outcome == "refused"
    other = await order(world, "other", 10_000)
    assert (await world.withdrawal("other")).status == "approved"
    await world.node.chain.call("sendrawtransaction", raw)
    await check(world, address, other)


async def spend_elsewhere(world: PayingCoinWorld, amount_minor: int) -> None:
    """Somebody else has the wallet's key, and is quicker."""
    wallet = world.hot_wallet
    payment = Payment(wallet, world.node.new_address(), None, amount_minor)
    unsigned = await world.node.build(payment)
    path = await key_path(world)
    scheme = world.adapter.key_scheme
    signatures = [world.signer.sign(path, p, scheme) for p in unsigned.signing_payloads]
    signed = world.adapter.assemble(unsigned, tuple(signatures))
    await world.node.chain.clear_pool()
    assert (await world.adapter.broadcast(signed)).outcome == "accepted"
    await world.mine(CONFIRMATIONS)


async def key_path(world: PayingCoinWorld) -> str:
    async with world.pool.acquire() as conn:
        return str(
            await conn.fetchval(
                "SELECT key_path FROM addresses WHERE address = $1", world.hot_wallet
            )
        )


async def halted(world: PayingCoinWorld) -> str | None:
    async with world.pool.acquire() as conn:
        [wallet] = await wallets_sql.list_wallets(conn, world.tenant)
    return wallet.halted_reason


async def test_a_coin_that_somebody_else_spent_halts_the_wallet_and_is_not_made_good_by_itself(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    await order(world, "order")
    with pytest.raises(MayBePaid):
        await cancel(world, "order")
    await spend_elsewhere(world, 500_000)
    await world.resend.run_once()
    await world.settle()
    assert await halted(world) == "a coin was used by a transaction that is not ours"
    for _ in range(2):
        await world.replace.run_once()
        await world.resend.run_once()
        await world.settle()
    assert len(await world.spendings()) == 1
    await world.check_no_double_payment()
    await cancel(world, "order")
    assert (await world.withdrawal("order")).reason == "nonce_used"


async def cancel(world: PayingCoinWorld, order_id: str) -> None:
    async with transact(world.context) as work:
        await cancel_withdrawal(work, world.tenant, order_id, "by hand")
    await world.settle()


def change_id(raw: bytes) -> str:
    """Return other bytes of a payment of one old coin: its signature holds with s negated too."""
    key_at = 43 + raw[42]
    signature = raw[43 : key_at - 1]
    r_end = 4 + signature[3]
    r, s = int.from_bytes(signature[4:r_end]), int.from_bytes(signature[r_end + 2 :])
    twin = encode_signature(r.to_bytes(32) + (2 * HALF_ORDER + 1 - s).to_bytes(32))
    script = bytes((len(twin),)) + twin + raw[key_at : key_at + 34]
    return (raw[:41] + bytes((len(script),)) + script + raw[key_at + 34 :]).hex()


async def test_a_payment_whose_id_was_changed_on_its_way_is_not_made_again(
    postgres: Postgres, template_database: str, dogecoin_node: DogecoinNode
) -> None:
    """Without witnesses anyone can give a transaction another id (BIP-62). It is paid under an id
    that we do not know: the wallet halts, and an operator looks at it."""
    async with open_coin_world(postgres, template_database, dogecoin_node) as world:
        await world.fund(10**9, 10**9)
        address = await order(world, "order", 10**8)
        [ours] = await world.spendings("order")
        await world.node.chain.clear_pool()
        name = await world.node.chain.call("getnewaddress")
        await world.node.chain.call("generateblock", name, [change_id(ours.raw)])
        await world.mine()
        assert await world.paid(address) == [10**8]
        for _ in range(3):
            await world.resend.run_once()
            await world.replace.run_once()
            await world.settle()
            await world.mine()
        assert await halted(world) == "a coin was used by a transaction that is not ours"
        assert (await world.withdrawal("order")).status == "broadcast"
        assert len(await world.spendings()) == 1
        assert await world.paid(address) == [10**8]
