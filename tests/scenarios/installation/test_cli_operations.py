"""The command line on a real broker and database: orders, endpoints, and what went wrong."""

from __future__ import annotations

import json

import pytest

from agents.runtime.kafka_log import KafkaLog
from agents.runtime.kafka_survey import read_bounds
from chain_adapters.ethereum.address import show_address
from chain_adapters.registry import open_adapter
from chain_adapters.types import Tip
from devstack.chains.anvil import Anvil
from settings.model import Settings
from sql import chain as chain_sql
from sql import stream, withdrawals
from sql.pool import Pool
from sql.stream import DeadLetter, OutboxRow
from sql.withdrawals import Move, NewWithdrawal
from tests.support.command_line import CommandLine, network_of

DEAD = "0x" + "de" * 20
ABAB = "0x" + "ab" * 20


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
    before = await read_bounds(settings, partitions)
    order = ["--tenant", "acme", "--owner", "alice", "--asset", "ETH", "--address", DEAD]
    sent = await installed.json("withdraw", "request", *order, "--amount", "0.5", "--id", "w-1")
    assert sent == {"id": "w-1", "status": "sent"}
    after = await read_bounds(settings, partitions)
    (target,) = [partition for partition in partitions if after[partition] != before[partition]]
    (record,) = await KafkaLog(settings).read(target, before[target].end, after[target].end, 10)
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
