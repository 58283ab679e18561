"""The command line on a real broker and database: set up, used, and repaired."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.runtime.context import Context
from agents.runtime.kafka_io import KafkaLog, Publisher
from agents.runtime.kafka_survey import read_end_offsets
from agents.stock_keys import StockKeys
from chain_adapters.ethereum.address import show_address
from chain_adapters.registry import open_adapter
from chain_adapters.types import Tip
from custody.keystore import open_signer
from devstack.chains.anvil import Anvil
from devstack.postgres import Postgres
from settings.model import Settings
from sql import chain as chain_sql
from sql import stream, withdrawals
from sql.pool import Pool, open_pool
from sql.stream import DeadLetter, OutboxRow
from sql.withdrawals import Move, NewWithdrawal
from tests.conftest import execute
from tests.support.command_line import CommandLine, configuration, network_of

KEY = "correct horse battery staple"
DEAD = "0x" + "de" * 20
ABAB = "0x" + "ab" * 20
WORDS = "abandon " * 23 + "art"


@pytest.fixture(scope="module")
async def empty_database(postgres: Postgres) -> AsyncIterator[str]:
    """A database that nobody has made yet."""
    name = f"cli_{secrets.token_hex(6)}"
    yield postgres.url_of(name)
    await execute(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def millrace(
    empty_database: str, kafka: str, topic_prefix: str, anvil: Anvil, servers_dir: Path
) -> CommandLine:
    return CommandLine(
        configuration(empty_database, kafka, topic_prefix, anvil)
        | {
            "MILLRACE_WALLET_ENC_KEY": KEY,
            "MILLRACE_WEBHOOK_ENC_KEY": f"{KEY} of webhooks",
        }
    )


@pytest.fixture(scope="module")
async def before_init(millrace: CommandLine) -> dict[str, str]:
    """What commands say of an installation that is not set up."""
    tried = [("worker", "--role", "deposits"), ("tenant", "list"), ("doctor",)]
    results = {arguments[0]: await millrace.run(*arguments) for arguments in tried}
    assert {result.exit_code for result in results.values()} == {1}
    return {name: result.output for name, result in results.items()}


@pytest.fixture(scope="module")
async def installed(before_init: dict[str, str], millrace: CommandLine) -> CommandLine:
    done = await millrace.json("init")
    assert [len(step["done"]) > 0 for step in done] == [True] * 6
    assert done[1]["done"] == [
        millrace.environ["MILLRACE_TOPIC_PREFIX"] + name
        for name in (
            "blocks",
            "deposits",
            "ledger",
            "events",
            "withdrawal-commands",
            "withdrawals-approved",
            "withdrawals-signed",
        )
    ]
    await millrace.json("tenant", "new", "acme")
    return millrace


@pytest.fixture(scope="module")
async def db(installed: CommandLine) -> AsyncIterator[Pool]:
    async with await open_pool(installed.environ["MILLRACE_DATABASE_URL"], 2) as pool:
        yield pool


@pytest.mark.parametrize("command", ["worker", "tenant", "doctor"])
async def test_before_init_every_command_says_to_run_it(
    before_init: dict[str, str], command: str
) -> None:
    assert "millrace init" in before_init[command]
    assert "Traceback" not in before_init[command]


async def test_a_second_init_changes_nothing(installed: CommandLine) -> None:
    again = await installed.json("init")
    assert [step["done"] for step in again] == [[]] * 6
    assert [step["step"] for step in again] == [
        "migrations", "topics", "networks", "assets", "master secret", "TON secret",
    ]  # fmt: skip


async def test_init_prints_neither_words_nor_keys(installed: CommandLine) -> None:
    result = await installed.run("init")
    assert result.exit_code == 0
    assert KEY not in result.output
    assert result.stdout == ""


async def test_a_changed_limit_is_taken_up_and_a_changed_unit_is_refused(
    installed: CommandLine,
) -> None:
    (asset,) = json.loads(installed.environ["MILLRACE_ASSETS"])
    changed = json.dumps([asset | {"withdrawal_minor_max": 10**30}])
    done = await installed.json("init", MILLRACE_ASSETS=changed)
    assert {step["step"]: step["done"] for step in done}["assets"] == ["ETH"]
    (row,) = await installed.json("asset", "list")
    assert row["withdrawal_minor_max"] == "1" + "0" * 30
    refused = await installed.run("init", MILLRACE_ASSETS=json.dumps([asset | {"decimals": 6}]))
    assert refused.exit_code == 2
    assert "cannot change its unit" in refused.stderr
    await installed.json("init")


async def test_a_second_mnemonic_is_refused(installed: CommandLine) -> None:
    result = await installed.run("init", "--import-mnemonic", input=WORDS)
    assert result.exit_code == 1
    assert "master secret already" in result.stderr
    assert "abandon" not in result.output


async def test_a_mnemonic_from_a_pipe_is_sealed_and_a_wrong_one_is_not_repeated(
    installed: CommandLine, database_url: str
) -> None:
    elsewhere = {"MILLRACE_DATABASE_URL": database_url}
    wrong = await installed.run("init", "--import-mnemonic", input="hunter2 " * 24, **elsewhere)
    assert wrong.exit_code == 1
    assert "checksum" in wrong.stderr
    assert "hunter2" not in wrong.output
    right = await installed.run("init", "--import-mnemonic", input=WORDS, **elsewhere)
    assert right.exit_code == 0
    assert "imported" in right.stderr
    assert "abandon" not in right.output


async def test_a_tenant_is_made_once(installed: CommandLine) -> None:
    first = await installed.json("tenant", "new", "globex", "--name", "Globex Inc.")
    again = await installed.json("tenant", "new", "globex", "--name", "Another")
    assert (first.pop("new"), again.pop("new")) == (True, False)
    assert first == again
    after = await installed.json("tenant", "new", "initech")
    assert after["wallet_index"] == first["wallet_index"] + 1
    assert first["name"] == "Globex Inc."
    assert "globex" in {row["tenant"] for row in await installed.json("tenant", "list")}


async def test_addresses_need_keys_that_only_the_signer_makes(
    installed: CommandLine, db: Pool, anvil: Anvil
) -> None:
    new = ("address", "new", "--tenant", "acme", "--owner", "alice")
    early = await installed.run(*new, "--wait-s", "0")
    assert early.exit_code == 1
    assert "--role signer" in early.stderr

    await stock_keys(db, installed, anvil)
    made = await installed.json(*new, "--count", "3", "--label", "till 1")
    assert len({row["address"] for row in made}) == 3
    assert [row["key_path"] for row in made] == [f"m/44'/60'/0'/0/{i}" for i in range(3)]
    many = await installed.run(*new, "--count", "21", MILLRACE_ADDRESS_POOL_MIN="20")
    assert (many.exit_code, "at most 20" in many.stderr) == (1, True)
    plain = await installed.run(*new)
    assert plain.stdout.strip() not in {row["address"] for row in made}
    hot = await installed.run("address", "hot", "--tenant", "acme")
    assert hot.exit_code == 0
    assert (await installed.run("address", "hot", "--tenant", "acme")).stdout == hot.stdout
    listed = await installed.json("address", "list", "--tenant", "acme")
    assert [row["purpose"] for row in listed] == ["hot", *["deposit"] * 4]
    assert {row["address"] for row in made} < {row["address"] for row in listed}


async def stock_keys(db: Pool, installed: CommandLine, anvil: Anvil) -> None:
    """Do once what the signer's process does."""
    settings = Settings(networks=(network_of(anvil),), address_pool_min=20)
    adapter = open_adapter(settings.networks[0])
    async with db.acquire() as conn:
        signer = await open_signer(conn, installed.environ["MILLRACE_WALLET_ENC_KEY"])
    context = Context(settings, db, {adapter.network: adapter}, Publisher(settings))
    await StockKeys(context, signer).run_once()
    await adapter.close()


@pytest.mark.parametrize("command", [["balance"], ["deposit", "list"], ["withdraw", "list"]])
async def test_nothing_is_an_empty_list_and_an_unknown_tenant_an_error(
    installed: CommandLine, command: list[str]
) -> None:
    assert await installed.json(*command, "--tenant", "acme") == []
    unknown = await installed.run(*command, "--tenant", "nobody")
    assert unknown.exit_code == 1
    assert "no tenant 'nobody'" in unknown.stderr


async def test_a_withdrawal_command_reaches_kafka_keyed_by_its_tenant(
    installed: CommandLine,
) -> None:
    topic = installed.environ["MILLRACE_TOPIC_PREFIX"] + "withdrawal-commands"
    partitions = [(topic, 0), (topic, 1)]
    settings = Settings(kafka_bootstrap=installed.environ["MILLRACE_KAFKA_BOOTSTRAP"])
    before = await read_end_offsets(settings, partitions)
    order = ["--tenant", "acme", "--owner", "alice", "--asset", "ETH", "--address", DEAD]
    sent = await installed.json("withdraw", "request", *order, "--amount", "0.5", "--id", "w-1")
    assert sent == {"id": "w-1", "status": "sent"}
    after = await read_end_offsets(settings, partitions)
    (target,) = [partition for partition in partitions if after[partition] > before[partition]]
    (record,) = await KafkaLog(settings).read(target, before[target], after[target], 10)
    assert record.key == b"acme"
    assert json.loads(record.value or b"") == {
        "type": "withdrawal.request",
        "tenant": "acme",
        "id": "w-1",
        "owner": "alice",
        "asset": "ETH",
        "amount_minor": "500000000000000000",
        "address": DEAD,
    }
    late = await installed.run(
        "withdraw", "request", *order, "--amount-minor", "1", "--wait", "--timeout-s", "0.1"
    )
    assert late.exit_code == 1
    assert "role withdrawals" in late.stderr


async def test_an_operator_decides_only_on_what_waits(installed: CommandLine) -> None:
    for verb in ("approve", "reject", "status"):
        result = await installed.run("withdraw", verb, "none", "--tenant", "acme")
        assert result.exit_code == 1
        assert "has no withdrawal 'none'" in result.stderr


async def test_an_approval_is_kept_with_its_actor_and_published_once(
    installed: CommandLine, db: Pool, anvil: Anvil
) -> None:
    order = NewWithdrawal(
        "acme", "w-2", b"", "alice", "ETH", network_of(anvil).network, ABAB, None, 7, 0
    )
    async with db.acquire() as conn:
        (waiting,) = (await withdrawals.add_withdrawals(conn, [order])).values()
        move = Move(waiting.withdrawal_id, "awaiting_approval")
        await withdrawals.move_withdrawals(conn, "requested", [move])
    approve = ("withdraw", "approve", "w-2", "--tenant", "acme", "--actor", "carol")
    row = await installed.json(*approve)
    assert (row["id"], row["status"], row["decided_by"]) == ("w-2", "approved", "carol")
    assert row["address"] == show_address(ABAB)
    second = await installed.run(*approve)
    assert second.exit_code == 1
    assert "does not wait for approval" in second.stderr
    listed = await installed.json("withdraw", "list", "--tenant", "acme", "--status", "approved")
    assert [(row["amount_minor"], row["address"]) for row in listed] == [("7", row["address"])]
    shown = await installed.json("withdraw", "status", "w-2", "--tenant", "acme")
    assert (shown["status"], shown["transactions"]) == ("approved", [])
    assert shown["address"] == row["address"]
    told = await installed.run("withdraw", "status", "w-2", "--tenant", "acme")
    assert "7 (0.000000000000000007 ETH)" in told.stdout
    prefix = installed.environ["MILLRACE_TOPIC_PREFIX"]
    assert sorted(row.topic for row in await empty_outbox(db)) == [
        prefix + "events",
        prefix + "withdrawals-approved",
    ]


async def empty_outbox(db: Pool) -> list[OutboxRow]:
    """Return what waits to be published, and publish it nowhere."""
    async with db.acquire() as conn:
        waiting = await stream.read_outbox(conn, 0, 100)
        await stream.delete_outbox(conn, [row.id for row in waiting])
    return waiting


async def test_an_endpoint_is_registered_tested_rotated_and_switched(
    installed: CommandLine,
) -> None:
    acme = ("--tenant", "acme")
    private = await installed.run("webhook", "add", "http://127.0.0.1:1/x", *acme)
    assert private.exit_code == 1
    local = {"MILLRACE_WEBHOOK_ALLOW_PRIVATE": "true"}
    odd = await installed.run(
        "webhook", "add", "http://127.0.0.1:1/x", *acme, "--type", "x", **local
    )
    assert odd.exit_code == 2
    made = await installed.json(
        "webhook", "add", "http://127.0.0.1:1/x", *acme, MILLRACE_WEBHOOK_ALLOW_PRIVATE="true"
    )
    assert made["secret"].startswith("whsec_")
    (row,) = await installed.json("webhook", "list", *acme)
    assert row["endpoint_id"] == made["endpoint_id"]
    assert "secret" not in json.dumps(row)
    test = await installed.json("webhook", "test", made["endpoint_id"], *acme)
    assert test["delivery_id"] > 0
    rotated = await installed.json("webhook", "rotate", made["endpoint_id"], *acme)
    assert rotated["secret"] != made["secret"]
    replayed = await installed.json("webhook", "replay", *acme, "--since", "2026-01-01")
    assert replayed == {"delivery_ids": []}
    nowhere = await installed.run(
        "webhook", "replay", *acme, "--since", "2026-01-01", "--endpoint", "ep_x"
    )
    assert (nowhere.exit_code, "no endpoint 'ep_x'" in nowhere.stderr) == (1, True)
    for verb in ("disable", "enable"):
        assert (await installed.run("webhook", verb, made["endpoint_id"], *acme)).exit_code == 0
        foreign = await installed.run("webhook", verb, made["endpoint_id"], "--tenant", "globex")
        assert foreign.exit_code == 1


async def test_dead_letters_go_back_to_their_topic_in_order_and_once(
    installed: CommandLine, db: Pool
) -> None:
    topic = installed.environ["MILLRACE_TOPIC_PREFIX"] + "ledger"
    letters = [
        DeadLetter("post_ledger", topic, 0, offset, b"key", f"{offset}".encode(), "boom\nBad: x")
        for offset in (3, 4, 5)
    ]
    async with db.acquire() as conn:
        await stream.park_records(conn, letters)
    first, second, third = await installed.json("dlq", "list")
    shown = await installed.json("dlq", "show", str(second["id"]))
    assert (shown["payload"], shown["payload_hex"], shown["offset"]) == ("4", "34", 4)
    assert (await installed.json("doctor", status=1)) is not None

    done = await installed.json("dlq", "redrive", str(second["id"]))
    assert done == {"redriven": [second["id"]], "not_open": []}
    again = await installed.json("dlq", "redrive", str(second["id"]), status=1)
    assert again == {"redriven": [], "not_open": [second["id"]]}
    rest = await installed.json("dlq", "redrive", "--all")
    assert rest["redriven"] == [first["id"], third["id"]]
    assert await installed.json("dlq", "list") == []
    waiting = await empty_outbox(db)
    assert [(row.topic, row.key, row.payload) for row in waiting] == [
        (topic, "key", b"4"),
        (topic, "key", b"3"),
        (topic, "key", b"5"),
    ]


async def test_a_discarded_dead_letter_is_closed_and_not_published(
    installed: CommandLine, db: Pool
) -> None:
    topic = installed.environ["MILLRACE_TOPIC_PREFIX"] + "withdrawal-commands"
    async with db.acquire() as conn:
        letter = DeadLetter("check_withdrawals", topic, 0, 9, b"acme", b"{", "no JSON")
        await stream.park_records(conn, [letter, letter])
    first, second = [row["id"] for row in await installed.json("dlq", "list")]
    done = await installed.json("dlq", "discard", str(first), "999", status=1)
    assert done == {"discarded": [first], "not_open": [999]}
    assert [row["id"] for row in await installed.json("dlq", "list")] == [second]
    gone = await installed.json("dlq", "redrive", str(first), status=1)
    assert gone == {"redriven": [], "not_open": [first]}
    assert await installed.json("dlq", "discard", str(second)) == {
        "discarded": [second],
        "not_open": [],
    }
    assert await empty_outbox(db) == []


async def test_a_halted_network_goes_on_when_told_and_every_tenant_hears_of_it(
    installed: CommandLine, db: Pool, anvil: Anvil
) -> None:
    network = network_of(anvil).network
    never = await installed.run("network", "resume", network)
    assert never.exit_code == 1
    assert "never followed" in never.stderr
    tip = await first_tip(anvil)
    async with db.acquire() as conn:
        await chain_sql.move_cursor(conn, network, tip.height, tip)
        await chain_sql.halt_network(conn, network, "too deep")
    (row,) = await installed.json("network", "status")
    assert row["halted_reason"] == "too deep"
    resumed = await installed.run("network", "resume", "ethereum")
    assert (resumed.exit_code, network in resumed.stderr) == (0, True)
    assert (await installed.run("network", "resume", network)).exit_code == 1
    waiting = await empty_outbox(db)
    async with db.acquire() as conn:
        tenants = await conn.fetchval("SELECT count(*) FROM tenants")
    assert len(waiting) == tenants
    assert all(b"network.resumed" in row.payload for row in waiting)


async def first_tip(anvil: Anvil) -> Tip:
    adapter = open_adapter(network_of(anvil))
    try:
        return await anext(adapter.watch_tip())
    finally:
        await adapter.close()


async def test_doctor_names_what_is_missing_and_what_is_well(installed: CommandLine) -> None:
    found = {row["check"]: row for row in await installed.json("doctor", status=1)}
    for check in ("broker", "topics", "database", "schema", "clock", "master secret", "outbox"):
        assert found[check]["state"] == "green", found[check]
    assert found["lease relay_outbox"]["state"] == "red"
    assert "--role chain" in found["lease relay_outbox"]["remedy"]
    assert all(row["remedy"] for row in found.values() if row["state"] != "green")
    wrong_key = await installed.json(
        "doctor", status=1, MILLRACE_WALLET_ENC_KEY="another key, long enough"
    )
    secret = next(row for row in wrong_key if row["check"] == "master secret")
    assert secret["state"] == "red"


async def test_doctor_finds_a_node_of_another_chain(installed: CommandLine, anvil: Anvil) -> None:
    other = network_of(anvil).model_copy(update={"network": "eip155:424242"})
    networks = json.dumps([other.model_dump()])
    found = await installed.json("doctor", status=1, MILLRACE_NETWORKS=networks)
    (node,) = [row for row in found if row["check"].startswith("node ")]
    assert (node["state"], "not 424242" in node["detail"]) == ("red", True)


async def test_reconcile_says_when_there_is_nothing_to_compare(installed: CommandLine) -> None:
    result = await installed.run("reconcile")
    assert result.exit_code == 1
    assert "matched yet" in result.stderr
