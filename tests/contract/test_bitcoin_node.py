"""Bitcoin's kind of chain on a real node, in what the contract of all adapters does not say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import coincurve
import msgspec
import pytest

from chain_adapters.bitcoin.chains import MAINNET, REGTEST
from chain_adapters.types import (
    BroadcastOutcome,
    Coin,
    Holding,
    NodeUnavailable,
    Payment,
    Quote,
    SignedTransaction,
    Transfer,
    WrongNetwork,
)
from chain_adapters.utxo.adapter import UtxoAdapter
from chain_adapters.utxo.address import (
    address_of,
    hash_key,
    p2pkh_script,
    p2sh_script,
    witness_script,
)
from chain_adapters.utxo.pay import Bid, fee_at
from devstack.chains.bitcoin import BitcoinNode, CoreNode
from tests.support.chain_worlds.bitcoin import CoreWorld, open_core_world
from tests.support.core_gateway import Answer, Call, Gateway, fault

ONE = 10**8
SIZE_WITHOUT_CHANGE = 110
"""Virtual bytes of one P2WPKH coin paid to one P2WPKH address."""


@pytest.fixture
async def world(bitcoin_node: BitcoinNode) -> AsyncIterator[CoreWorld]:
    opened = await open_core_world(bitcoin_node)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: CoreWorld) -> str:
    address = world.new_address()
    await world.fund(address, 5 * ONE)
    return address


def open_adapter(url: str, **changes: object) -> UtxoAdapter:
    settings = {"native_symbol": "BTC", "poll_interval_s": 0.02, **changes}
    return UtxoAdapter((REGTEST,), REGTEST.network, [url], **settings)  # type: ignore[arg-type]


async def arrived(world: CoreWorld, address: str, since: int) -> list[Transfer]:
    found = []
    for height in range(since, await world.height() + 1):
        block = await world.adapter.fetch_block(height)
        assert block is not None
        found += [t for each in block.transactions for t in each.transfers if t.address == address]
    return found


async def outcome_of(adapter: UtxoAdapter, signed: SignedTransaction) -> BroadcastOutcome:
    return (await adapter.broadcast(signed)).outcome


async def test_what_is_in_no_block_is_no_deposit(world: CoreWorld) -> None:
    address, since = world.new_address(), await world.height()
    await world.chain.pay(address, ONE)
    assert await arrived(world, address, since) == []
    await world.mine()
    assert [t.amount_minor for t in await arrived(world, address, since)] == [ONE]


async def test_of_a_replaced_payment_nothing_arrives(world: CoreWorld, sender: str) -> None:
    first, second, since = world.new_address(), world.new_address(), await world.height()
    unsigned = await world.build(Payment(sender, first, None, ONE))
    await world.adapter.broadcast(world.sign(unsigned))
    other = await world.build(Payment(sender, second, None, ONE), replaces=unsigned)
    assert await outcome_of(world.adapter, world.sign(other)) is BroadcastOutcome.ACCEPTED
    await world.mine()
    assert await arrived(world, first, since) == []
    assert [t.amount_minor for t in await arrived(world, second, since)] == [ONE]
    assert await outcome_of(world.adapter, world.sign(unsigned)) is BroadcastOutcome.NONCE_USED


async def test_several_addresses_and_one_address_twice_are_so_many_deposits(
    world: CoreWorld,
) -> None:
    addresses, since = [world.new_address() for _ in range(3)], await world.height()
    id_ = await world.chain.pay_many(dict.fromkeys(addresses, ONE))
    await world.mine()
    found = [t for address in addresses for t in await arrived(world, address, since)]
    assert len({t.index for t in found}) == 3
    assert id_


async def test_every_kind_of_address_can_be_paid(world: CoreWorld, sender: str) -> None:
    since = await world.height()
    key_hash = hash_key(coincurve.PrivateKey().public_key.format())
    point = coincurve.PrivateKey().public_key.format()[1:]
    for script in (
        p2pkh_script(key_hash),
        p2sh_script(key_hash),
        witness_script(0, key_hash),
        witness_script(0, point),
        witness_script(1, point),
    ):
        recipient = address_of(REGTEST, script)
        assert recipient is not None
        signed = await world.order(Payment(sender, recipient, None, 10**6))
        assert await outcome_of(world.adapter, signed) is BroadcastOutcome.ACCEPTED
        await world.mine()
        [transfer] = await arrived(world, recipient, since)
        assert transfer.sender == sender


def rate_of(quote: Quote) -> int:
    return msgspec.json.decode(quote.parameters, type=Bid).rate


async def modest_quote(world: CoreWorld, payment: Payment) -> Quote:
    """Return a quote without what the node has learnt of fees from the blocks of other tests."""
    quote = await world.adapter.quote(payment)
    return msgspec.structs.replace(quote, parameters=msgspec.json.encode(Bid(2000, 1000)))


async def test_many_coins_are_spent_together(world: CoreWorld) -> None:
    address = world.new_address()
    for _ in range(150):
        await world.chain.pay(address, 10**6)
    await world.mine()
    coins = await world.coins(address)
    assert len(coins) == 150
    payment = Payment(address, world.new_address(), None, 140 * 10**6)
    signed = world.sign(await world.build(payment, await modest_quote(world, payment)))
    assert await outcome_of(world.adapter, signed) is BroadcastOutcome.ACCEPTED


async def test_coins_of_old_addresses_are_spent(world: CoreWorld) -> None:
    key = coincurve.PrivateKey()
    old = address_of(REGTEST, p2pkh_script(hash_key(key.public_key.format()))) or ""
    await world.fund(old, ONE)
    unsigned = await world.build(Payment(old, world.new_address(), None, 10**7))
    signatures = tuple(key.sign_recoverable(p, hasher=None) for p in unsigned.signing_payloads)
    signed = world.adapter.assemble(unsigned, signatures)
    assert await outcome_of(world.adapter, signed) is BroadcastOutcome.ACCEPTED


async def test_the_fee_is_the_rate_for_the_size_that_the_node_finds(
    world: CoreWorld, sender: str
) -> None:
    payment = Payment(sender, world.new_address(), None, ONE)
    quote = await world.adapter.quote(payment)
    unsigned = await world.build(payment, quote)
    signed = world.sign(unsigned)
    told = await world.chain.call("decoderawtransaction", signed.raw.hex())
    quoted = rate_of(quote)
    assert told["vsize"] * quoted <= unsigned.fee_minor_max * 1000 <= (told["vsize"] + 2) * quoted


async def test_ours_is_known_even_when_all_its_outputs_are_spent(
    world: CoreWorld, sender: str
) -> None:
    middle, end = world.new_address(), world.new_address()
    coins = await world.coins(sender)
    whole = sum(coin.amount_minor for coin in coins)
    quote = await world.adapter.quote(Payment(sender, middle, None, ONE))
    amount_minor = whole - fee_at(rate_of(quote), SIZE_WITHOUT_CHANGE)
    payment = Payment(sender, middle, None, amount_minor)
    unsigned = world.adapter.build(payment, quote, None, coins=coins)
    signed = world.sign(unsigned)
    assert await outcome_of(world.adapter, signed) is BroadcastOutcome.ACCEPTED
    await world.mine()
    onwards = await world.order(Payment(middle, end, None, amount_minor // 2))
    assert await outcome_of(world.adapter, onwards) is BroadcastOutcome.ACCEPTED
    await world.mine()
    assert await outcome_of(world.adapter, signed) is BroadcastOutcome.ACCEPTED


def without_index(call: Call) -> Answer | None:
    if call["method"] == "getrawtransaction":
        hint = "Use -txindex or provide a block hash to enable blockchain transaction queries"
        return fault(
            -5, f"No such mempool transaction. {hint}. Use gettransaction for wallet ones."
        )
    return None


async def test_a_node_without_index_is_not_believed_that_a_coin_was_used(
    world: CoreWorld, bitcoin_node: CoreNode, sender: str
) -> None:
    payments = [Payment(sender, world.new_address(), None, ONE) for _ in range(2)]
    first, second = [await world.order(payment) for payment in payments]
    await world.adapter.broadcast(first)
    await world.mine()
    async with Gateway(bitcoin_node.rpc_url, without_index).running() as gateway:
        adapter = open_adapter(gateway.url)
        with pytest.raises(NodeUnavailable, match="txindex=1"):
            await adapter.broadcast(second)
        assert await outcome_of(adapter, first) is BroadcastOutcome.ACCEPTED
        await adapter.close()
    assert await outcome_of(world.adapter, second) is BroadcastOutcome.NONCE_USED


async def test_without_index_blocks_are_read_all_the_same_but_for_senders(
    world: CoreWorld, bitcoin_node: CoreNode, sender: str
) -> None:
    signed = await world.order(Payment(sender, world.new_address(), None, ONE))
    await world.adapter.broadcast(signed)
    await world.mine()
    height = await world.height()
    full = await world.adapter.fetch_block(height)
    async with Gateway(bitcoin_node.rpc_url, without_index).running() as gateway:
        adapter = open_adapter(gateway.url)
        bare = await adapter.fetch_block(height)
        assert await adapter.fetch_block(height) == bare
        assert gateway.calls.count("getrawtransaction") == 1
        await adapter.close()
    assert full is not None
    assert bare is not None
    [told], [hidden] = (b.transactions[1:] for b in (full, bare))
    assert (told.payer, hidden.payer, hidden.fee_minor) == (sender, None, None)
    assert [(t.index, t.address) for t in told.transfers] == [
        (t.index, t.address) for t in hidden.transfers
    ]


async def test_a_coin_that_a_reorganisation_took_away_is_no_used_coin(world: CoreWorld) -> None:
    sender = world.new_address()
    await world.fund(sender, ONE)
    signed = await world.order(Payment(sender, world.new_address(), None, 10**7))
    await world.reorganise(1)
    assert await outcome_of(world.adapter, signed) is BroadcastOutcome.REFUSED


async def test_ours_in_a_block_that_was_left_is_not_taken_for_paid(
    world: CoreWorld, sender: str
) -> None:
    payments = [Payment(sender, world.new_address(), None, ONE) for _ in range(2)]
    first, second = [await world.order(payment) for payment in payments]
    await world.adapter.broadcast(first)
    await world.mine()
    await world.reorganise(1)
    assert await outcome_of(world.adapter, second) is BroadcastOutcome.ACCEPTED
    await world.mine()
    assert await outcome_of(world.adapter, first) is BroadcastOutcome.NONCE_USED


async def test_a_coin_that_never_was_is_no_used_coin(world: CoreWorld, sender: str) -> None:
    payment = Payment(sender, world.new_address(), None, 10**7)
    quote = await world.adapter.quote(payment)
    coins = [Coin("ab" * 32 + ":0", ONE)]
    signed = world.sign(world.adapter.build(payment, quote, None, coins=coins))
    assert await outcome_of(world.adapter, signed) is BroadcastOutcome.REFUSED


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (lambda raw: raw[:-1], BroadcastOutcome.REFUSED),
        (lambda raw: raw[:-40] + bytes(36) + raw[-4:], BroadcastOutcome.REFUSED),
    ],
    ids=["cut", "wrong key"],
)
async def test_bytes_that_no_node_takes_are_refused(
    world: CoreWorld, sender: str, change: object, outcome: BroadcastOutcome
) -> None:
    assert callable(change)
    signed = await world.order(Payment(sender, world.new_address(), None, ONE))
    spoilt = SignedTransaction(signed.transaction_id, change(signed.raw))
    assert await outcome_of(world.adapter, spoilt) is outcome


async def test_a_node_of_another_network_is_told(bitcoin_node: CoreNode) -> None:
    adapter = UtxoAdapter((MAINNET,), MAINNET.network, [bitcoin_node.rpc_url], native_symbol="BTC")
    with pytest.raises(WrongNetwork, match="530827f38f93b43e"):
        await adapter.fetch_block(0)
    await adapter.close()


async def test_a_wrong_password_is_told_and_not_shown(bitcoin_node: CoreNode) -> None:
    adapter = open_adapter(f"http://millrace:swordfish@127.0.0.1:{bitcoin_node.port}")
    with pytest.raises(NodeUnavailable, match="401") as refused:
        await adapter.fetch_block(0)
    assert "swordfish" not in str(refused.value)
    await adapter.close()


async def test_block_0_is_read(world: CoreWorld) -> None:
    block = await world.adapter.fetch_block(0)
    assert block is not None
    assert block.parent_id == "0" * 64


async def test_balances_of_many_addresses_are_one_scan(
    world: CoreWorld, bitcoin_node: CoreNode
) -> None:
    addresses = [world.new_address() for _ in range(40)]
    await world.chain.pay_many({address: 10**6 + n for n, address in enumerate(addresses)})
    await world.mine()
    async with Gateway(bitcoin_node.rpc_url, lambda _: None).running() as gateway:
        adapter = open_adapter(gateway.url)
        held = await adapter.fetch_balances([Holding(a) for a in addresses], 0)
        await adapter.close()
    assert held == [10**6 + n for n in range(40)]
    assert gateway.calls.count("scantxoutset") == 1


async def test_fee_rates_are_asked_for_every_few_seconds_only(
    world: CoreWorld, bitcoin_node: CoreNode, sender: str
) -> None:
    payment = Payment(sender, world.new_address(), None, ONE)
    async with Gateway(bitcoin_node.rpc_url, lambda _: None).running() as gateway:
        adapter = open_adapter(gateway.url)
        assert [await adapter.quote(payment) for _ in range(3)]
        await adapter.close()
    assert gateway.calls.count("estimatesmartfee") == 1
