"""The command line on a real broker and database: set up and looked at."""

from __future__ import annotations

import json

import pytest

from agents.runtime.context import Context
from agents.runtime.publisher import Publisher
from agents.stock_keys import StockKeys
from chain_adapters.registry import open_adapter
from custody.keystore import open_signer
from devstack.chains.anvil import Anvil
from settings.model import Settings
from sql.pool import Pool
from tests.support.command_line import CommandLine, network_of

WORDS = "abandon " * 23 + "art"


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
    assert installed.environ["MILLRACE_WALLET_ENC_KEY"] not in result.output
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
    assert "has 18" in refused.stderr
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


async def test_doctor_names_what_is_missing_and_what_is_well(installed: CommandLine) -> None:
    found = {row["check"]: row for row in await installed.json("doctor", status=1)}
    for check in ("broker", "topics", "database", "schema", "clock", "master secret", "outbox"):
        assert found[check]["state"] == "green", found[check]
    assert found["asset ETH"]["state"] == "green"
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
