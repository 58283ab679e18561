"""Making a wallet of ours ready for a token, on a chain that asks for its owner's consent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import pytest

from chain_adapters.registry import open_adapter
from chain_adapters.stellar.adapter import StellarAdapter
from chain_adapters.types import Broadcast, NodeUnavailable, PaymentRefused, SignedTransaction
from custody.errors import CustodyError
from custody.prepare import Preparation, Prepared, WalletBusy, check_idle, prepare_wallet
from devstack.chains.chain import NodeError
from devstack.chains.stellar import StellarChain, StellarNode
from settings.model import Network
from sql import wallets as wallets_sql
from sql.custody import SystemWallet, list_system_wallets
from sql.pool import Pool
from sql.wallets import NonceRow
from tests.support.withdrawals import PayingWorld

FUNDS_MINOR = 50 * 10**7
SYMBOLS = (f"USD{number}" for number in count())
"""Names of assets that the wallet, which all tests share, has not agreed to yet."""


class StellarWorld(PayingWorld):
    """A paying world on the simulated Stellar."""

    adapter: StellarAdapter

    def __init__(
        self, pool: Pool, database_url: str, node: StellarNode, chain: StellarChain
    ) -> None:
        network = Network(**node.network_config())
        adapter = open_adapter(network)
        assert isinstance(adapter, StellarAdapter)
        super().__init__(pool, database_url, adapter, network, "stellar")
        self.chain = chain
        self.contract = ""

    async def wallet(self) -> SystemWallet:
        async with self.pool.acquire() as conn:
            [wallet] = await list_system_wallets(conn, self.tenant, self.network)
        return wallet

    async def trust(self) -> Prepared:
        wallet = await self.wallet()
        return await prepare_wallet(self.pool, self.adapter, self.signer, wallet, self.contract)


@pytest.fixture(scope="module")
async def world(
    pool: Pool, database_url: str, stellar_node: StellarNode
) -> AsyncIterator[StellarWorld]:
    async with stellar_node.open_chain() as chain:
        made = StellarWorld(pool, database_url, stellar_node, chain)
        await made.start()
        await chain.pay(made.hot_wallet, FUNDS_MINOR)
        await chain.mine()
        yield made
        await made.adapter.close()


@pytest.fixture(autouse=True)
async def fresh_token(world: StellarWorld) -> None:
    world.contract = await world.chain.issue_token(next(SYMBOLS))


async def test_a_wallet_that_agreed_can_be_paid_the_token(world: StellarWorld) -> None:
    with pytest.raises(NodeError, match="no trustline"):
        await world.chain.pay_token(world.contract, world.hot_wallet, 5)
    first = await world.trust()
    assert first.state is Preparation.SENT
    await world.chain.mine()
    assert await world.trust() == Prepared(Preparation.READY)
    await world.chain.pay_token(world.contract, world.hot_wallet, 5)
    await world.chain.mine()
    block = await world.adapter.fetch_block(await world.chain.height())
    assert block is not None
    [transfer] = [t for one in block.transactions for t in one.transfers]
    assert (transfer.contract, transfer.amount_minor) == (world.contract, 5)


async def test_the_nonce_of_consent_is_never_given_to_a_payment(world: StellarWorld) -> None:
    before = await world.next_nonce()
    await world.trust()
    after = await world.next_nonce()
    await world.chain.mine()
    assert after == before + 1
    await world.trust()
    assert await world.next_nonce() == after


async def test_consent_that_never_arrived_is_given_again_with_the_same_nonce(
    world: StellarWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(_: SignedTransaction) -> Broadcast:
        raise NodeUnavailable("cut")

    with monkeypatch.context() as patch, pytest.raises(NodeUnavailable):
        patch.setattr(world.adapter, "broadcast", lose)
        await world.trust()
    taken = await world.next_nonce()
    await world.trust()
    await world.chain.mine()
    assert await world.next_nonce() == taken
    assert await world.trust() == Prepared(Preparation.READY)


async def test_a_wallet_with_a_wrong_key_signs_nothing(world: StellarWorld) -> None:
    wallet = await world.wallet()
    other = wallet._replace(key_path=world.adapter.key_path(0, 7))
    with pytest.raises(CustodyError, match="is not that of"):
        await prepare_wallet(world.pool, world.adapter, world.signer, other, world.contract)


async def test_an_asset_that_nobody_issues_is_refused_before_a_nonce_is_taken(
    world: StellarWorld,
) -> None:
    before = await world.next_nonce()
    world.contract = "NOPE:" + await _unborn(world)
    with pytest.raises(PaymentRefused):
        await world.trust()
    assert await world.next_nonce() == before


async def _unborn(world: StellarWorld) -> str:
    path = world.adapter.key_path(0, 99)
    key = world.signer.public_key(path, world.adapter.key_scheme)
    return world.adapter.derive_address(key, path)


async def test_a_halted_wallet_agrees_to_nothing(world: StellarWorld) -> None:
    async with world.pool.acquire() as conn:
        await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, "stolen", None)
    with pytest.raises(WalletBusy, match="halted"):
        await world.trust()
    async with world.pool.acquire() as conn:
        await wallets_sql.resume_wallet(conn, world.network, world.tenant)


async def test_consent_of_a_wallet_that_paid_what_we_forgot_waits_until_that_is_accounted_for(
    world: StellarWorld,
) -> None:
    """As after a restore: its counter would begin behind payments that nobody knows."""
    await world.trust()
    await world.chain.mine()
    world.contract = await world.chain.issue_token(next(SYMBOLS))
    used = await world.next_nonce()
    await world.pool.execute("DELETE FROM nonces WHERE sender = $1", world.hot_wallet)
    with pytest.raises(WalletBusy, match="halted"):
        await world.trust()
    async with world.pool.acquire() as conn:
        [halted] = await wallets_sql.list_wallets(conn, world.tenant)
        assert halted.chain_nonce == used
        assert "the chain expects nonce" in str(halted.halted_reason)
        assert await wallets_sql.resume_wallet(conn, world.network, world.tenant)
    assert (await world.trust()).state is Preparation.SENT
    await world.chain.mine()
    assert await world.next_nonce() == used + 1


async def test_consent_of_an_address_that_pays_nothing_begins_where_the_chain_is(
    world: StellarWorld,
) -> None:
    await world.trust()
    await world.chain.mine()
    world.contract = await world.chain.issue_token(next(SYMBOLS))
    await world.pool.execute("DELETE FROM nonces WHERE sender = $1", world.hot_wallet)
    pooled = (await world.wallet())._replace(purpose="pooled")
    made = await prepare_wallet(world.pool, world.adapter, world.signer, pooled, world.contract)
    assert made.state is Preparation.SENT
    await world.chain.mine()


def test_consent_waits_for_payments_that_wait_and_for_strangers_to_be_accounted_for() -> None:
    check_idle("G", 5, NonceRow(5, None), 0)
    check_idle("G", 5, NonceRow(6, None), 0)
    with pytest.raises(WalletBusy, match="waits for a block"):
        check_idle("G", 5, NonceRow(6, None), 1)
    with pytest.raises(WalletBusy, match="used elsewhere"):
        check_idle("G", 7, NonceRow(6, None), 0)
