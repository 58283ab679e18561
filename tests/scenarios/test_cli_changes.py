"""What is configured otherwise than it was: `millrace init` and workers take it up or refuse it."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from agents.runtime.kafka_survey import read_cluster_id
from chain_adapters.ethereum.address import show_address
from cli.errors import Problem
from cli.setup import set_up
from cli.work import require_set_up, require_webhook_key
from custody.box import SecretBox
from notifications.endpoints import register_endpoint
from settings.model import Asset, Network, Settings
from sql.pool import Pool
from tests.support.command_line import CommandLine

KEY = "correct horse battery staple"
COIN = {"asset": "SIM", "network": "sim:one", "decimals": 18}
TOKEN = COIN | {"asset": "TOK", "contract": "0x" + "70" * 20, "decimals": 6}
ONE = {
    "network": "sim:one",
    "kind": "simulated",
    "rpc_urls": ["simulated"],
    "native_asset": "SIM",
    "confirmations": 3,
}
TWO = ONE | {"network": "sim:two", "native_asset": "SIM2"}
TWICE = (
    TOKEN | {"asset": "A", "contract": "0x" + "ab" * 20},
    TOKEN | {"asset": "B", "contract": show_address("0x" + "ab" * 20)},
)
COIN_TWO = COIN | {"asset": "SIM2", "network": "sim:two"}


@pytest.fixture(scope="module")
def prefix() -> str:
    return f"{secrets.token_hex(4)}."


class Installation:
    """A database and a broker, and what is configured for them by a test."""

    def __init__(self, database_url: str, kafka: str, prefix: str) -> None:
        self.database_url, self.kafka, self.prefix = database_url, kafka, prefix

    def settings(
        self,
        networks: tuple[dict[str, Any], ...] = (ONE,),
        assets: tuple[dict[str, Any], ...] = (COIN, TOKEN),
        **changes: Any,  # noqa: ANN401
    ) -> Settings:
        return Settings.model_validate(
            {
                "database_url": SecretStr(self.database_url),
                "kafka_bootstrap": self.kafka,
                "topic_prefix": self.prefix,
                "topic_partitions": 1,
                "wallet_enc_key": SecretStr(KEY),
                "networks": networks,
                "assets": assets,
            }
            | changes
        )

    async def init(self, *args: Any, **changes: Any) -> None:  # noqa: ANN401
        await set_up(self.settings(*args, **changes), lambda _: None)

    async def start(self, *args: Any, **changes: Any) -> None:  # noqa: ANN401
        """Start a worker, as far as it looks at the configuration."""
        await require_set_up(self.settings(*args, **changes))


@pytest.fixture
async def installation(database_url: str, kafka: str, prefix: str) -> Installation:
    made = Installation(database_url, kafka, prefix)
    await made.init()
    await made.start()
    return made


@pytest.mark.parametrize(
    ("networks", "assets", "words"),
    [
        ((ONE | {"kind": "ethereum"},), (COIN,), "no network of Ethereum's kind"),
        (
            (ONE | {"native_asset": "ETH"},),
            (COIN | {"asset": "ETH"}, TOKEN),
            "native_asset SIM and configured with ETH",
        ),
        ((ONE | {"native_asset": "ETH"},), (COIN, TOKEN), "no asset of that network"),
        ((ONE, TWO | {"native_asset": "SIM"}), (COIN, TOKEN), "no asset of that network"),
        ((ONE,), (COIN, TOKEN | {"asset": "TOKEN"}), "kept under the name TOK"),
        ((ONE,), (COIN, TOKEN | {"decimals": 8}), "cannot change its unit"),
        ((ONE,), (COIN, TOKEN | {"contract": "0x" + "71" * 20}), "cannot change its unit"),
        ((ONE,), (COIN,), "asset TOK of sim:one is kept and no longer configured"),
        ((ONE,), (COIN | {"decimals": 8}, TOKEN), "the coin of sim:one has 18"),
        ((ONE,), (COIN, TOKEN, *TWICE), "assets A and B have the same contract"),
        ((ONE,), (COIN, TOKEN, COIN_TWO), "network sim:two is not configured"),
        ((ONE,), (COIN, TOKEN, COIN_TWO | {"network": "simulated"}), "is not configured"),
    ],
)
async def test_init_refuses_what_cannot_change_and_changes_nothing(
    installation: Installation,
    pool: Pool,
    networks: tuple[dict[str, Any], ...],
    assets: tuple[dict[str, Any], ...],
    words: str,
) -> None:
    kept = [await pool.fetch(f"SELECT * FROM {table}") for table in ("networks", "assets")]
    with pytest.raises(Problem) as refused:
        await installation.init(networks, assets)
    said = f"{refused.value.what} {refused.value.remedy}"
    assert words in said
    assert kept == [await pool.fetch(f"SELECT * FROM {table}") for table in ("networks", "assets")]


async def test_wrong_decimals_are_mended_as_documented(
    installation: Installation, pool: Pool
) -> None:
    mended = ((ONE,), (COIN, TOKEN | {"decimals": 8}))
    await pool.execute("UPDATE assets SET decimals = 8 WHERE asset = 'TOK'")
    await installation.init(*mended)
    await installation.start(*mended)
    await pool.execute("UPDATE assets SET decimals = 6 WHERE asset = 'TOK'")


async def test_a_network_is_of_one_kind_for_ever(installation: Installation, pool: Pool) -> None:
    await pool.execute("UPDATE networks SET kind = 'ethereum'")
    with pytest.raises(Problem, match="kept with kind ethereum and configured with simulated"):
        await installation.init()
    await pool.execute("UPDATE networks SET kind = 'simulated'")


@pytest.mark.parametrize(
    ("networks", "assets", "changed"),
    [
        ((ONE | {"confirmations": 9},), (COIN, TOKEN), "sim:one"),
        ((ONE | {"finality": "finalized"},), (COIN, TOKEN), "sim:one"),
        ((ONE,), (COIN | {"withdrawal_minor_max": 10}, TOKEN), "SIM"),
        ((ONE,), (COIN | {"withdrawal_minor_max_day": 10}, TOKEN), "SIM"),
        ((ONE,), (COIN | {"withdrawal_count_max_hour": 10}, TOKEN), "SIM"),
        ((ONE,), (COIN | {"withdrawal_approval_minor": 10}, TOKEN), "SIM"),
        ((ONE,), (COIN, TOKEN | {"deposit_minor_min": 10}), "TOK"),
        (
            (ONE,),
            (
                COIN,
                TOKEN | {"confirmations_by_amount": [{"from_minor": 10**20, "confirmations": 9}]},
            ),
            "TOK",
        ),
        ((ONE,), (COIN, TOKEN, TOKEN | {"asset": "T2", "contract": "0x" + "72" * 20}), "T2"),
    ],
)
async def test_no_worker_starts_with_rules_that_are_not_in_force(
    installation: Installation,
    pool: Pool,
    networks: tuple[dict[str, Any], ...],
    assets: tuple[dict[str, Any], ...],
    changed: str,
) -> None:
    with pytest.raises(Problem) as refused:
        await installation.start(networks, assets)
    assert refused.value.what == f"changed since `millrace init` and not in force: {changed}"
    assert "millrace init" in refused.value.remedy
    await installation.init(networks, assets)
    await installation.start(networks, assets)
    await pool.execute("DELETE FROM assets WHERE asset = 'T2'")


@pytest.mark.parametrize("under_way", ["a deposit", "a withdrawal"])
async def test_a_network_leaves_the_configuration_only_when_nothing_is_under_way(
    installation: Installation, pool: Pool, under_way: str
) -> None:
    await installation.init((ONE, TWO), (COIN, TOKEN, COIN_TWO))
    async with pool.acquire() as conn:
        if under_way == "a deposit":
            await conn.execute("INSERT INTO waiting_deposits VALUES ('sim:two', 7, 1)")
        else:
            await conn.execute("INSERT INTO tenants (tenant, name) VALUES ('acme', 'Acme')")
            await conn.execute(
                "INSERT INTO withdrawals (tenant, idempotency_key, request_hash, owner, asset,"
                " network, address, amount_minor, fee_minor)"
                " VALUES ('acme', 'w', '', 'alice', 'SIM2', 'sim:two', '0x1', 1, 0)"
            )
            await conn.execute("UPDATE withdrawals SET status = 'awaiting_approval'")
    for refuses in (installation.start, installation.init):
        with pytest.raises(Problem, match="network sim:two is no longer configured"):
            await refuses()
    await pool.execute("DELETE FROM waiting_deposits")
    if under_way == "a withdrawal":
        await pool.execute("UPDATE withdrawals SET status = 'rejected', reason = 'test'")
    await installation.init()
    await installation.start()
    await installation.init((ONE, TWO), (COIN, TOKEN, COIN_TWO))
    await installation.start((ONE, TWO), (COIN, TOKEN, COIN_TWO))


@pytest.mark.parametrize(
    "where",
    [
        "INSERT INTO inbox SELECT $2::text, 'match_deposits', $1 || 'blocks', 0, 7",
        "INSERT INTO outbox (topic, key, payload) SELECT $1 || 'ledger', $2::text, ''",
    ],
)
async def test_no_worker_starts_with_another_topic_prefix_while_records_lie_under_the_old_one(
    installation: Installation, pool: Pool, where: str
) -> None:
    cluster_id = await read_cluster_id(installation.settings())
    await pool.execute(where, installation.prefix, cluster_id)
    await installation.start()
    await installation.init(topic_prefix=f"new-{installation.prefix}")
    with pytest.raises(Problem, match="topic_prefix is 'new-") as refused:
        await installation.start(topic_prefix=f"new-{installation.prefix}")
    assert "docs/operations.md" in refused.value.remedy
    await pool.execute("DELETE FROM inbox")
    await pool.execute("DELETE FROM outbox")
    await installation.start(topic_prefix=f"new-{installation.prefix}")


async def test_no_worker_starts_on_another_kafka_cluster_by_mistake(
    installation: Installation, pool: Pool
) -> None:
    add = "INSERT INTO inbox SELECT $1::text, 'match_deposits', $2 || 'blocks', 0, 7"
    await pool.execute(add, "another", installation.prefix)
    with pytest.raises(Problem, match="the stages worked with another"):
        await installation.start()
    cluster_id = await read_cluster_id(installation.settings())
    await pool.execute(add, cluster_id, installation.prefix)
    await installation.start()
    await pool.execute("DELETE FROM inbox")
    await installation.start()


async def test_no_notify_starts_with_a_key_that_opens_no_secret(
    installation: Installation, pool: Pool
) -> None:
    await pool.execute("INSERT INTO tenants (tenant, name) VALUES ('hooks', 'Hooks')")
    key, other = SecretStr(f"{KEY} one"), SecretStr(f"{KEY} two")
    box = SecretBox(f"{KEY} one")
    async with pool.acquire() as conn, conn.transaction():
        now = datetime.now(UTC)
        await register_endpoint(conn, box, "hooks", "http://127.0.0.1/", now, allow_private=True)
    await require_webhook_key(installation.settings(webhook_enc_key=key))
    with pytest.raises(Problem, match="MILLRACE_WEBHOOK_ENC_KEY does not open"):
        await require_webhook_key(installation.settings(webhook_enc_key=other))


async def test_the_refusal_reaches_who_starts_a_worker(installation: Installation) -> None:
    changed = json.dumps([COIN | {"withdrawal_minor_max": 1}, TOKEN])
    millrace = CommandLine(
        {
            "MILLRACE_CONFIG": "",
            "MILLRACE_DATABASE_URL": installation.database_url,
            "MILLRACE_KAFKA_BOOTSTRAP": installation.kafka,
            "MILLRACE_TOPIC_PREFIX": installation.prefix,
            "MILLRACE_TOPIC_PARTITIONS": "1",
            "MILLRACE_NETWORKS": json.dumps([ONE]),
            "MILLRACE_ASSETS": changed,
        }
    )
    result = await millrace.run("worker", "--role", "deposits")
    assert result.exit_code == 1
    assert "changed since `millrace init`" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"finality": "safe", "kind": "bitcoin"}, "finality must be depth"),
        ({"finality": "finalized", "kind": "dogecoin"}, "finality must be depth"),
        ({"keep_blocks": 1000, "reorg_depth_max": 1000}, "keep_blocks must be above"),
        ({"start_height": -1}, "start_height"),
    ],
)
def test_a_network_that_could_not_work_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Network.model_validate(ONE | changes)


@pytest.mark.parametrize(
    "changes", [{"withdrawal_minor_min": 0}, {"withdrawal_count_max_hour": -1}]
)
def test_an_asset_that_could_not_be_kept_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="greater than or equal"):
        Asset.model_validate(COIN | changes)


@pytest.mark.parametrize(
    ("networks", "assets", "words"),
    [
        ([ONE, ONE], [COIN], "network sim:one is configured twice"),
        ([ONE], [COIN, COIN], "asset SIM is configured twice"),
        ([ONE], [COIN, COIN | {"asset": "B"}], "contract sim:one native is configured twice"),
    ],
)
def test_what_is_configured_twice_is_refused(
    networks: list[dict[str, Any]], assets: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Settings.model_validate({"networks": networks, "assets": assets})
