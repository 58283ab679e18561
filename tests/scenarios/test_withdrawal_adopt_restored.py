"""The manual's way out after a restore that lost commits, from a dump to clean books, on nodes."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Set
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from agents.broadcast_withdrawals import BroadcastWithdrawals
from agents.check_withdrawals import CheckWithdrawals
from agents.confirm_deposits import ConfirmDeposits
from agents.confirm_withdrawals import ConfirmWithdrawals
from agents.match_deposits import MatchDeposits
from agents.post_ledger import PostLedger
from devstack.chains.chain import DevChain
from devstack.chains.ethereum import EthereumChain
from devstack.postgres import Postgres
from sql.pool import Pool, open_pool
from sql.withdrawals import Withdrawal
from tests.conftest import execute
from tests.support.backup import run_manual
from tests.support.chain_worlds import CHAINS
from tests.support.chain_worlds.world import World
from tests.support.command_line import CommandLine
from tests.support.forgotten import start_signer
from tests.support.paying_nodes import PayingNodeWorld
from tests.support.pipeline import Pipeline

WATCHERS = {MatchDeposits.name, ConfirmDeposits.name, PostLedger.name}
"""Stages of the role deposits."""
PAYERS = {CheckWithdrawals.name, BroadcastWithdrawals.name, ConfirmWithdrawals.name}
"""Stages of the role withdrawals; the signer's is not among them."""


class Kind(NamedTuple):
    """A chain, where its node is, and what one piece of its money is in minor units."""

    kind: str
    fixture: str
    whole_minor: int


KINDS = [
    Kind("ethereum", "anvil", 10**18),
    Kind("tron", "tron_node", 10**6),
    Kind("solana", "solana_node", 10**9),
    Kind("stellar", "stellar_node", 10**7),
]


class Trial(NamedTuple):
    """An installation on a real node, and how to come back to its backup."""

    world: PayingNodeWorld
    back_up: Callable[[], None]
    restore: Callable[[], Awaitable[PayingNodeWorld]]
    millrace: CommandLine
    """Of the restored installation."""
    paid_minor: int


def restored(old: PayingNodeWorld, pool: Pool, url: str) -> PayingNodeWorld:
    """Return the same installation on another database; Kafka still has every record."""
    world = PayingNodeWorld(pool, url, old.node, old.chain, old.contract)
    world.coin, world.token, world.tenant = old.coin, old.token, old.tenant
    world.signer, world.hot_wallet = old.signer, old.hot_wallet
    changed = {"database_url": SecretStr(url)}
    world.context.settings = old.context.settings.model_copy(update=changed)
    world.pipeline = Pipeline(world.context, world._stages())
    world.pipeline.kafka = old.pipeline.kafka
    return world


async def open_chain(stack: AsyncExitStack, node: World, rpc_url: str) -> DevChain:
    """Return what drives a node."""
    if node.kind != "ethereum":
        chain: DevChain = node.chain  # type: ignore[attr-defined] # all worlds but anvil's have one
        return chain
    ethereum = await stack.enter_async_context(EthereumChain(rpc_url))
    await ethereum.check()
    return ethereum


@pytest.fixture(params=KINDS, ids=[kind.kind for kind in KINDS])
async def trial(
    request: pytest.FixtureRequest, postgres: Postgres, template_database: str, tmp_path: Path
) -> AsyncIterator[Trial]:
    """A hot wallet and a user with money of the chain's, in a database of their own."""
    kind: Kind = request.param
    rpc_url = request.getfixturevalue(kind.fixture).rpc_url
    names = [f"adopt_{secrets.token_hex(6)}_{place}" for place in ("lost", "restored")]
    lost_url, restored_url = map(postgres.url_of, names)
    await execute(postgres, f"CREATE DATABASE {names[0]} TEMPLATE {template_database}")
    await execute(postgres, f"CREATE DATABASE {names[1]}")
    async with AsyncExitStack() as stack:
        node = await CHAINS[kind.kind].open(request)
        stack.push_async_callback(node.close)
        chain = await open_chain(stack, node, rpc_url)
        pool = await stack.enter_async_context(await open_pool(lost_url, size=5))
        world = PayingNodeWorld(pool, lost_url, node, chain, await chain.issue_token("T"))
        await world.start()
        await world.pay_in(world.hot_wallet, 50 * kind.whole_minor)
        await world.pay_in(await world.new_address(), 30 * kind.whole_minor)

        async def restore() -> PayingNodeWorld:
            run_manual("pg_restore", restored_url, tmp_path)
            other = await stack.enter_async_context(await open_pool(restored_url, size=5))
            return restored(world, other, restored_url)

        yield Trial(
            world,
            back_up=lambda: run_manual("pg_dump", lost_url, tmp_path),
            restore=restore,
            millrace=command_line(world, restored_url, rpc_url),
            paid_minor=kind.whole_minor * 2,
        )
    for name in names:
        await execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def command_line(world: PayingNodeWorld, url: str, rpc_url: str) -> CommandLine:
    """Return the command line of an operator who has the workers' role and no more."""
    [network] = world.context.settings.networks
    network = network.model_copy(update={"rpc_urls": (rpc_url,)})
    assets = [asset.model_dump_json() for asset in world.context.settings.assets]
    return CommandLine(
        {
            "MILLRACE_CONFIG": "",
            "MILLRACE_DATABASE_URL": f"{url}&role=millrace_app"
            if "?" in url
            else f"{url}?role=millrace_app",
            "MILLRACE_TOPIC_PREFIX": world.pipeline.kafka.prefix,
            "MILLRACE_NETWORKS": f"[{network.model_dump_json()}]",
            "MILLRACE_ASSETS": f"[{','.join(assets)}]",
        }
    )


async def test_what_a_restored_database_forgot_is_booked_by_the_manual_and_paid_once(
    trial: Trial,
) -> None:
    lost, paid_minor = trial.world, trial.paid_minor
    known = await pay(lost, paid_minor)
    trial.back_up()
    forgotten = [await pay(lost, paid_minor + extra) for extra in (1, 2)]
    await lost.check_books()

    world = await trial.restore()
    await run_only(world, WATCHERS)
    await world.confirm()
    missing = (await world.reconcile()).differences
    assert missing, "the chain has less than the books say"

    await run_only(world, WATCHERS | PAYERS)
    for order, transaction_id in forgotten:
        again = await world.withdrawal(order.idempotency_key)
        assert again.status == "approved"
        said = (again.idempotency_key, "--tenant", world.tenant, "--transaction", transaction_id)
        adopted = await trial.millrace.json("withdraw", "adopt", *said)
        assert adopted["status"] == "signed"
    await world.confirm()
    await world.check_books()

    await start_signer(world)
    await pay(world, paid_minor + 3)
    await world.retry()
    await world.confirm()
    for order in await world.withdrawals():
        assert order.status == "confirmed", order
        assert await world.held(order.address) == order.amount_minor
    assert known[0].idempotency_key in {o.idempotency_key for o in await world.withdrawals()}
    await world.check_books()
    reconciled = await trial.millrace.run("reconcile")
    assert reconciled.exit_code == 0, reconciled.output


async def pay(world: PayingNodeWorld, amount_minor: int) -> tuple[Withdrawal, str]:
    """Pay a new address; return the order and the transaction that is in a block."""
    order = await world.withdraw(world.coin, amount_minor, world.node.new_address())
    assert order.status == "confirmed", order.reason
    [attempt] = await world.attempts(order.idempotency_key)
    return order, attempt.transaction_id


async def run_only(world: PayingNodeWorld, stages: Set[str]) -> None:
    """Start just these stages anew, and let them read from Kafka what they did since."""
    world.pipeline.cluster_id = secrets.token_hex(16)
    world.pipeline.done.clear()
    world.pipeline.offsets.clear()
    await world.pipeline.start()
    runners = world.pipeline.runners
    world.pipeline.runners = [one for one in runners if one.stage.name in stages]
    world.follower = await world.pipeline.follower(world.network)
    await world.follow()
