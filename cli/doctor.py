"""`millrace doctor`: looks at everything, and says what to do where something is wrong."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from cli import session
from cli.errors import NO_DATABASE, NOT_SET_UP, Problem, explain, words_of
from cli.options import JsonWanted
from cli.output import console, print_json

if TYPE_CHECKING:
    from agents.runtime.kafka_survey import Broker, Kept
    from chain_adapters.adapter import ChainAdapter
    from cli.findings import Finding
    from custody.keystore import MasterSecret
    from settings.model import Asset, Network, Settings
    from sql.health import Progress
    from sql.pool import Connection
    from sql.stream import Partition

NODE_TIMEOUT_S = 10.0
AWAY = "Is the address right, and does the server run? See MILLRACE_KAFKA_* in docs/operations.md."
MARKS = {"green": "✔", "yellow": "!", "red": "✘"}


def doctor(json_wanted: JsonWanted = False) -> None:
    """Look at configuration, database, broker, nodes, keys and workers. Exit status 1 if red."""
    config = session.settings(tell_unknown=False)
    found = [*examine_variables(config), *session.run(examine(config))]
    if json_wanted:
        print_json([finding._asdict() for finding in found])
    else:
        for finding in found:
            _tell(finding)
    if any(finding.state == "red" for finding in found):
        raise typer.Exit(1)


def _tell(finding: Finding) -> None:
    from rich.text import Text

    mark = MARKS[finding.state]
    console().print(Text(f"{mark} ", style=finding.state) + f"{finding.check}: {finding.detail}")
    if finding.remedy:
        console().print(Text(f"    {finding.remedy}"))


def examine_variables(config: Settings) -> list[Finding]:
    """Look for misspelt variables."""
    from cli.findings import judge_variables
    from settings.unknown import unknown_variables

    return judge_variables(unknown_variables(config, os.environ))


async def examine(config: Settings) -> list[Finding]:
    """Look at everything; what cannot be reached is a finding like any other."""
    from cli.findings import judge_configuration, judge_lag

    broker, broker_findings = await examine_broker(config)
    progress, database_findings = await examine_database(config, broker)
    lag: list[Finding] = []
    if broker is not None and progress:
        kept = await _bounds(config, broker, progress)
        lag = judge_lag(config, broker.cluster_id, progress, kept)
    nodes = await asyncio.gather(
        *(
            examine_node(network, url)
            for network in config.networks
            for url in network.rpc_urls
            if network.kind != "simulated"
        )
    )
    assets = await asyncio.gather(*(examine_assets(config, one) for one in config.networks))
    return [
        *judge_configuration(config),
        *broker_findings,
        *database_findings,
        *nodes,
        *(finding for found in assets for finding in found),
        *lag,
    ]


async def _bounds(
    config: Settings, broker: Broker, progress: list[Progress]
) -> dict[Partition, Kept]:
    from agents.runtime.kafka_survey import read_bounds

    wanted = {(row.topic, row.partition) for row in progress if row.topic in broker.partitions}
    return await read_bounds(config, wanted)


async def examine_broker(config: Settings) -> tuple[Broker | None, list[Finding]]:
    """Look at the broker and its topics."""
    from aiokafka.errors import KafkaError

    from agents.runtime.kafka_survey import read_topic_settings, survey_broker
    from agents.runtime.kafka_topics import topic_settings
    from cli.findings import green, judge_topic_settings, judge_topics, red
    from topics.catalogue import ALL_TOPICS

    rules = {
        config.topic_prefix + topic.name: topic_settings(config, topic.name) for topic in ALL_TOPICS
    }
    try:
        broker = await survey_broker(config)
        there = {topic: rules[topic] for topic in rules if topic in broker.partitions}
        found = await read_topic_settings(config, there)
    except (KafkaError, OSError, TimeoutError) as error:
        return None, [red("broker", f"no broker lets us in: {words_of(error)}", AWAY)]
    return broker, [
        green("broker", config.kafka_bootstrap),
        judge_topics(config, list(rules), broker.partitions),
        *judge_topic_settings(there, found),
    ]


async def examine_database(
    config: Settings, broker: Broker | None
) -> tuple[list[Progress], list[Finding]]:
    """Look at the database and at what it knows of the workers."""
    from cli.findings import red
    from sql import health

    found: list[Finding] = []
    try:
        async with session.database(config, session.LOOK_S) as pool, pool.acquire() as conn:
            found += await _examine_server(conn)
            if found[-1].state == "red":
                return [], found
            progress = await health.list_progress(conn)
            found += await _examine_work(conn, config, broker, progress)
            found += await _examine_keys(conn, config)
            return progress, found
    except Exception as error:
        problem = explain(error)
        if problem is None:
            raise
        return [], [*found, red("database", problem.what, _remedy(problem))]


async def _examine_server(conn: Connection) -> list[Finding]:
    import asyncpg

    from cli.findings import green, judge_clock, judge_migrations, red, yellow
    from sql import health
    from sql.migrate import MIGRATIONS

    server = await health.read_server(conn)
    found = [
        green("database", f"PostgreSQL {server.version}"),
        judge_clock((datetime.now(UTC) - server.now).total_seconds()),
    ]
    if not server.has_role:
        remedy = "Let a database user who may make roles run `millrace migrate`."
        found.append(yellow("role millrace_app", "not there", remedy))
    if await health.sorts_otherwise(conn):
        detail = "not the one by which the indexes were made: unique keys may not hold"
        remedy = "Stop the workers and see docs/operations.md, 'Texts that sort otherwise'."
        found.append(red("order of texts", detail, remedy))
    there = [file.name.partition("_")[0] for file in MIGRATIONS.glob("*.sql")]
    try:
        schema = judge_migrations(await health.applied_migrations(conn), there)
        found.append(schema)
        late = await health.late_sequences(conn) if schema.state == "green" else []
    except asyncpg.UndefinedTableError:
        return [*found, red("schema", "the database is empty", NOT_SET_UP)]
    if late:
        remedy = "Stop the workers and see docs/operations.md, 'Sequences that are behind'."
        found.append(red("sequences", f"behind the ids given: {', '.join(late)}", remedy))
    return found


async def _examine_work(
    conn: Connection, config: Settings, broker: Broker | None, progress: list[Progress]
) -> list[Finding]:
    from cli import findings
    from sql import catalogue, health, measures, stream

    return [
        *([findings.judge_cluster(broker.cluster_id, progress)] if broker else []),
        *findings.judge_networks(config, await catalogue.list_networks(conn)),
        *findings.judge_leases(expected_leases(config), await health.list_leases(conn)),
        *findings.judge_withdrawals(await measures.measure_withdrawals(conn)),
        findings.judge_outbox(await stream.measure_outbox(conn)),
        findings.judge_dead_letters(await stream.count_dead_letters(conn)),
    ]


def expected_leases(config: Settings) -> dict[str, str]:
    """Return every lease that some worker should hold, with its role."""
    from agents.follow_chain import lease_name
    from agents.measure_state import MeasureState
    from agents.prune_history import PruneHistory
    from agents.reconcile_chain import ReconcileChain
    from agents.replace_withdrawals import ReplaceWithdrawals
    from agents.resend_withdrawals import ResendWithdrawals
    from agents.stock_keys import StockKeys

    followers = [lease_name(network.network) for network in config.networks]
    chain = [MeasureState.name, ReconcileChain.name, PruneHistory.name, "relay_outbox", *followers]
    return {
        **dict.fromkeys(chain, "chain"),
        ResendWithdrawals.name: "withdrawals",
        ReplaceWithdrawals.name: "signer",
        StockKeys.name: "signer",
    }


async def _examine_keys(conn: Connection, config: Settings) -> list[Finding]:
    from cli.findings import judge_keys
    from custody.keystore import MASTER_SECRETS
    from sql.custody import count_free_keys

    networks = [network.network for network in config.networks]
    free = await count_free_keys(conn, networks)
    return [
        *[await _examine_secret(conn, config, secret) for secret in MASTER_SECRETS],
        await _examine_webhook_key(conn, config),
        *(judge_keys(row.network, row.free_keys, config.address_pool_min) for row in free),
    ]


async def _examine_secret(conn: Connection, config: Settings, secret: MasterSecret) -> Finding:
    from cli.findings import green, red
    from cli.setup import TITLES, is_needed
    from custody.errors import CustodyError
    from custody.keystore import PassphraseKey, check_master_secret
    from sql.custody import read_master_secret

    title = TITLES[secret.name]
    if await read_master_secret(conn, secret.name) is None:
        if is_needed(config, secret):
            return red(title, "not there", NOT_SET_UP)
        return green(title, "not there, and no network needs it")
    if config.wallet_enc_key is None:
        return green(title, "there (no key here to open it, as it should be)")
    try:
        key = PassphraseKey(config.wallet_enc_key.get_secret_value())
        await check_master_secret(conn, key, secret)
    except CustodyError as error:
        remedy = "Give the signer the MILLRACE_WALLET_ENC_KEY that `millrace init` had."
        return red(title, str(error), remedy)
    return green(title, "opens with the key given")


async def _examine_webhook_key(conn: Connection, config: Settings) -> Finding:
    from cli.findings import green, red
    from cli.webhook import OTHER_KEY, open_box
    from notifications.endpoints import check_box
    from notifications.signing import SecretUnreadable

    check = "webhook secrets"
    if config.webhook_enc_key is None:
        return green(check, "no key here to open them")
    try:
        there = await check_box(conn, open_box(config))
    except SecretUnreadable:
        return red(check, "MILLRACE_WEBHOOK_ENC_KEY does not open them", OTHER_KEY)
    return green(check, "open with the key given" if there else "there are none yet")


async def examine_node(network: Network, url: str) -> Finding:
    """Ask one endpoint for its chain and its tip. Its path is not shown: keys may be in it."""
    from chain_adapters.types import AdapterError
    from cli.findings import green, red

    host = _host(url)
    check = f"node {network.network} at {host}"
    alone = network.model_copy(update={"rpc_urls": (url,), "push_url": None})
    try:
        async with asyncio.timeout(NODE_TIMEOUT_S), session.chain(alone) as adapter:
            async for tip in adapter.watch_tip():
                return green(check, f"at block {tip.height}")
    except (AdapterError, TimeoutError, Problem) as error:
        remedy = "Withdrawals and deposits wait. Repair it, or take it out of rpc_urls."
        said = words_of(error).replace(url, "(address)").removeprefix(f"{host}: ")
        return red(check, said, remedy)
    return red(check, "told nothing", "Take it out of rpc_urls.")


async def examine_assets(config: Settings, network: Network) -> list[Finding]:
    """Hold a network's assets against the chain, as far as its nodes answer."""
    from chain_adapters.types import AdapterError
    from cli.findings import yellow

    found: list[Finding] = []
    names: dict[str, str] = {}
    try:
        async with session.chain(network) as adapter:
            for asset in config.assets:
                if asset.network == network.network:
                    async with asyncio.timeout(NODE_TIMEOUT_S * len(network.rpc_urls)):
                        found.append(await _examine_asset(config, adapter, asset, names))
    except (AdapterError, TimeoutError, Problem) as error:
        remedy = "Look at the nodes first: amounts may be shown wrong, and limits be."
        detail = f"not all compared with the chain: {words_of(error)}"
        found.append(yellow(f"assets {network.network}", detail, remedy))
    return found


async def _examine_asset(
    config: Settings, adapter: ChainAdapter, asset: Asset, names: dict[str, str]
) -> Finding:
    """Judge one asset. `names` are those judged so far, by their contract's canonical name."""
    from chain_adapters.types import InvalidAddress
    from cli.findings import judge_coin, judge_token, red

    check = f"asset {asset.asset}"
    if asset.contract is None:
        return judge_coin(asset, adapter.native_decimals)
    try:
        contract = adapter.parse_contract(asset.contract)
    except InvalidAddress as error:
        return red(check, f"its contract is none: {error}", "`millrace init` refuses it so.")
    if (other := names.setdefault(contract, asset.asset)) != asset.asset:
        remedy = f"What comes is credited as one of the two: take {asset.asset} or {other} out."
        return red(check, f"has the same contract as {other}, written otherwise", remedy)
    return judge_token(asset, await adapter.fetch_token(contract), config.assets)


def _host(url: str) -> str:
    from chain_adapters.rpc import show_host
    from settings.expand import expand
    from settings.url import check_url

    try:
        return show_host(check_url(expand(url)))
    except ValueError:
        return "an address that cannot be read"


def _remedy(problem: Problem) -> str:
    """Return what to do; whoever reads it asked the doctor already."""
    asked = " `millrace doctor` tells."
    return (problem.remedy or NO_DATABASE).replace(asked, "")
