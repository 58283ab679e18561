"""Reading the simulated Stellar node: what only a chain that goes on can show."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stellar_sdk import (
    AccountMerge,
    Asset,
    Claimant,
    ClaimClaimableBalance,
    CreateClaimableBalance,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    Keypair,
    MuxedAccount,
    PathPaymentStrictReceive,
    PathPaymentStrictSend,
    TransactionEnvelope,
)
from stellar_sdk import Payment as Pay

from chain_adapters.stellar.adapter import StellarAdapter
from chain_adapters.types import BroadcastOutcome, Holding, NodeUnavailable, Payment, WrongNetwork
from devstack.chains.stellar import RECIPIENT_MINOR, StellarNode, read_asset
from devstack.chains.stellar_chain import BANK
from devstack.chains.stellar_envelopes import PASSPHRASE
from tests.support.chain_worlds.stellar import StellarWorld, open_stellar_world
from tests.support.stellar_node import last_block, only, outcome

XLM = 10**7
ACCEPTED = BroadcastOutcome.ACCEPTED
NATIVE = Asset.native()


@pytest.fixture
async def world(stellar_node: StellarNode) -> AsyncIterator[StellarWorld]:
    opened = await open_stellar_world(stellar_node)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: StellarWorld) -> str:
    address = world.new_address()
    await world.fund(address, world.funds_minor)
    return address


@pytest.mark.parametrize(
    "memo", [None, "id:0", f"id:{2**64 - 1}", "text:abc", "text:é", "hash:" + 64 * "a"]
)
async def test_a_deposit_keeps_its_memo(world: StellarWorld, sender: str, memo: str | None) -> None:
    await world.chain.pay(sender, 5, memo)
    (transfer,) = (await only(world)).transfers
    assert (transfer.index, transfer.sender) == ("op:0", BANK.public_key)
    assert (transfer.address, transfer.amount_minor, transfer.memo) == (sender, 5, memo)


async def test_a_muxed_deposit_goes_to_the_account_and_its_number_wins(
    world: StellarWorld, sender: str
) -> None:
    await world.chain.pay(MuxedAccount(sender, 77).account_muxed or "", 5, "id:1")
    (transfer,) = (await only(world)).transfers
    assert (transfer.address, transfer.memo) == (sender, "id:77")


async def test_several_operations_are_several_deposits(world: StellarWorld, sender: str) -> None:
    await world.chain.act(BANK, [Pay(sender, NATIVE, "1"), Pay(sender, NATIVE, "1")], "id:4")
    transfers = (await only(world)).transfers
    assert [t.index for t in transfers] == ["op:0", "op:1"]
    assert {t.memo for t in transfers} == {"id:4"}


async def test_a_path_payment_credits_what_arrived(world: StellarWorld) -> None:
    token = await world.chain.issue_token("PATH")
    holder = await world.chain.new_account(token)
    await world.chain.set_rate("native", token, 1, 4)
    send = PathPaymentStrictSend(holder.public_key, NATIVE, "10", read_asset(token), "1", [])
    receive = PathPaymentStrictReceive(holder.public_key, NATIVE, "99", read_asset(token), "3", [])
    await world.chain.act(BANK, [send, receive])
    first, second = (await only(world)).transfers
    assert (first.contract, first.amount_minor) == (token, 25_000_000)
    assert (second.contract, second.amount_minor) == (token, 3 * XLM)
    assert first.sender is second.sender is None
    held = await world.balance(holder.public_key, token, 0)
    assert held == 25_000_000 + 3 * XLM


async def test_a_merged_account_credits_all_it_held(world: StellarWorld, sender: str) -> None:
    stranger = await world.chain.new_account(amount_minor=7 * XLM)
    await world.chain.act(stranger, [AccountMerge(sender)], "id:9")
    (transfer,) = (await only(world)).transfers
    assert (transfer.sender, transfer.address) == (stranger.public_key, sender)
    assert (transfer.amount_minor, transfer.memo) == (7 * XLM - 100, "id:9")
    assert await world.balance(stranger.public_key, None, 0) == 0


async def test_a_claimable_balance_credits_only_when_claimed(world: StellarWorld) -> None:
    claimer = await world.chain.new_account()
    set_aside = CreateClaimableBalance(NATIVE, "3", [Claimant(claimer.public_key)])
    await world.chain.act(BANK, [set_aside])
    assert (await only(world)).transfers == ()
    effects = await world.chain.ask(f"ledgers/{await world.height()}/effects")
    (name,) = {e["balance_id"] for e in effects["_embedded"]["records"] if "balance_id" in e}
    await world.chain.act(claimer, [ClaimClaimableBalance(name)])
    (transfer,) = (await only(world)).transfers
    assert (transfer.address, transfer.amount_minor) == (claimer.public_key, 3 * XLM)
    assert transfer.sender is None


async def test_a_failed_operation_takes_the_others_along(world: StellarWorld, sender: str) -> None:
    lost = Pay(Keypair.random().public_key, NATIVE, "1")
    await world.chain.act(BANK, [Pay(sender, NATIVE, "1"), lost])
    failed = await only(world)
    assert (failed.succeeded, failed.transfers, failed.fee_minor) == (False, (), 200)
    assert failed.payer == BANK.public_key


async def test_a_stranger_who_bumps_our_payment_pays_and_hides_nothing(
    world: StellarWorld, sender: str
) -> None:
    signed = await world.order(Payment(sender, await world.chain.new_recipient(), None, XLM))
    stranger = await world.chain.new_account()
    inner = TransactionEnvelope.from_xdr(b64encode(signed.raw).decode(), PASSPHRASE)
    bump = FeeBumpTransaction(stranger.public_key, 4000, inner)
    envelope = FeeBumpTransactionEnvelope(bump, PASSPHRASE)
    envelope.sign(stranger)
    await world.chain.submit(envelope.to_xdr())
    await world.mine()
    outer, ours = (await last_block(world)).transactions
    assert (outer.id, outer.payer) == (envelope.hash_hex(), stranger.public_key)
    assert (outer.fee_minor, len(outer.transfers)) == (200, 1)
    assert (ours.id, ours.succeeded) == (signed.transaction_id, True)
    assert (ours.fee_minor, ours.transfers) == (0, ())
    assert await outcome(world, signed) is ACCEPTED


async def test_a_ledger_of_many_pages_is_read_whole(world: StellarWorld, sender: str) -> None:
    await world.chain.pay_many([(sender, n + 1) for n in range(450)])
    for _ in range(220):
        await world.chain.pay(sender, 1)
    await world.mine()
    await world.chain.drive("seen")
    transactions = (await last_block(world)).transactions
    amounts = [t.amount_minor for one in transactions for t in one.transfers]
    assert amounts == [*range(1, 451), *[1] * 220]
    seen = [path.rpartition("/")[2] for path in await world.chain.drive("seen")]
    assert (seen.count("transactions"), seen.count("operations")) == (2, 4)


async def test_a_quiet_ledger_takes_one_call(world: StellarWorld) -> None:
    await world.mine()
    height = await world.height()
    await world.adapter.fetch_block(height)
    await world.chain.drive("seen")
    await world.adapter.fetch_block(height)
    assert await world.chain.drive("seen") == [f"/ledgers/{height}"]


async def test_a_page_that_lacks_a_record_makes_no_block(world: StellarWorld, sender: str) -> None:
    await world.chain.pay(sender, 5)
    await world.mine()
    height = await world.height()
    for times in (1, 2, 4):
        await world.chain.misbehave("cut", times)
        with pytest.raises(NodeUnavailable):
            await world.adapter.fetch_block(height)
        await world.chain.misbehave("cut", 0)
    assert len((await last_block(world)).transactions) == 1


async def test_a_limited_rate_is_no_answer(world: StellarWorld) -> None:
    await world.chain.misbehave("rate_limit", 3)
    with pytest.raises(NodeUnavailable):
        await world.adapter.fetch_block(1)
    await world.chain.misbehave("rate_limit", 0)
    assert await world.adapter.fetch_block(1) is not None


async def test_there_is_no_ledger_below_the_first(world: StellarWorld) -> None:
    assert await world.adapter.fetch_block(0) is None
    assert await world.adapter.fetch_block(-1) is None


async def test_a_server_of_another_network_is_refused(stellar_node: StellarNode) -> None:
    adapter = StellarAdapter("stellar:pubnet", [stellar_node.rpc_url])
    with pytest.raises(WrongNetwork, match="Standalone"):
        await adapter.fetch_block(1)
    await adapter.close()


async def test_an_address_without_account_holds_nothing(world: StellarWorld) -> None:
    nobody = world.new_address()
    token = await world.chain.issue_token("NONE")
    held = await world.adapter.fetch_balances([Holding(nobody), Holding(nobody, token)], 1)
    assert held == [0, 0]


# The simulator itself


def test_ledgers_are_there_again_after_a_kill(tmp_path: Path) -> None:
    node = StellarNode(tmp_path)

    async def pay() -> tuple[int, str]:
        async with node.open_chain() as chain:
            address = await chain.new_recipient()
            await chain.pay(address, 5)
            await chain.mine()
            return await chain.height(), address

    async def look(address: str) -> tuple[int, int]:
        adapter = StellarAdapter(node.network, [node.rpc_url])
        [held] = await adapter.fetch_balances([Holding(address)], 0)
        async with node.open_chain() as chain:
            height = await chain.height()
        await adapter.close()
        return height, held

    with node:
        height, address = asyncio.run(pay())
        node.kill()
        node.start()
        assert asyncio.run(look(address)) == (height, RECIPIENT_MINOR + 5)
