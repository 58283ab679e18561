"""What `millrace` does with secrets and their keys: made, imported, checked, never printed."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chain_adapters.types import KeyScheme
from custody.keystore import MASTER, open_signer
from custody.seal import seal
from devstack.chains.anvil import Anvil
from devstack.postgres import Postgres
from sql.custody import PoolKey, add_keys
from sql.pool import Pool, open_pool
from tests.conftest import execute
from tests.support.command_line import CommandLine, configuration
from tests.support.key_vectors import read_key_vectors

KEY = "correct horse battery staple"
KEYS = {"MILLRACE_WALLET_ENC_KEY": KEY, "MILLRACE_WEBHOOK_ENC_KEY": f"{KEY} of webhooks"}
OTHER = "another key, as long as it must be"
FIRST = "m/44'/60'/0'/0/0"
MASTER_WORDS = "abandon " * 23 + "art"
TON_VECTOR = read_key_vectors("ton_mnemonics.json")[0]
TON_WORDS = TON_VECTOR["words"]


@pytest.fixture
async def millrace(
    postgres: Postgres, kafka: str, topic_prefix: str, anvil: Anvil
) -> AsyncIterator[CommandLine]:
    """The command line of an installation whose database nobody has made yet."""
    name = f"cli_{secrets.token_hex(6)}"
    environ = configuration(postgres.url_of(name), kafka, topic_prefix, anvil)
    yield CommandLine(environ | KEYS | {"MILLRACE_WEBHOOK_ALLOW_PRIVATE": "true"})
    await execute(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
async def installed(millrace: CommandLine) -> CommandLine:
    await millrace.json("init")
    await millrace.json("tenant", "new", "acme")
    return millrace


@pytest.fixture
async def db(installed: CommandLine) -> AsyncIterator[Pool]:
    async with await open_pool(installed.environ["MILLRACE_DATABASE_URL"], 2) as pool:
        yield pool


def done_of(steps: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {step["step"]: step["done"] for step in steps}


def with_ton(millrace: CommandLine) -> str:
    """Return the networks of an installation, and TON."""
    networks = json.loads(millrace.environ["MILLRACE_NETWORKS"])
    ton = {"network": "ton:mainnet", "kind": "ton", "native_asset": "TON"}
    return json.dumps([*networks, ton | {"rpc_urls": ["http://127.0.0.1:9"]}])


async def state_of(millrace: CommandLine, check: str, **environ: str) -> tuple[str, str]:
    rows = await millrace.json("doctor", status=1, **environ)
    (found,) = [row for row in rows if row["check"] == check]
    return found["state"], found["remedy"]


async def test_init_makes_both_secrets_once(millrace: CommandLine) -> None:
    first, again = done_of(await millrace.json("init")), done_of(await millrace.json("init"))

    assert (first["master secret"], first["TON secret"]) == (["made"], ["made"])
    assert (again["master secret"], again["TON secret"]) == ([], [])


async def test_init_says_when_its_key_does_not_open_what_is_there_and_changes_nothing(
    installed: CommandLine, db: Pool
) -> None:
    before = await db.fetch("SELECT * FROM master_secrets")
    for title in ("master secret", "TON secret"):
        refused = await installed.run("init", MILLRACE_WALLET_ENC_KEY=OTHER)
        assert refused.exit_code == 1
        assert f"MILLRACE_WALLET_ENC_KEY does not open the {title}" in refused.stderr
        assert "docs/keys.md" in refused.stderr
        assert "nothing to do" not in refused.stderr.partition(title)[2]
        assert OTHER not in refused.output
        await db.execute("DELETE FROM master_secrets WHERE name = 'master'")
        await db.execute(
            "INSERT INTO master_secrets (name, envelope) VALUES ('master', $1)",
            seal(OTHER, MASTER_WORDS.encode(), MASTER.purpose),
        )
    kept = "SELECT * FROM master_secrets WHERE name = 'ton'"
    assert [await db.fetchrow(kept)] == [row for row in before if row["name"] == "ton"]


async def test_after_a_lost_key_the_words_make_the_same_keys_under_a_new_one(
    millrace: CommandLine,
) -> None:
    imported = ("init", "--import-mnemonic")
    assert (await millrace.run(*imported, input=MASTER_WORDS)).exit_code == 0
    async with await open_pool(millrace.environ["MILLRACE_DATABASE_URL"], 1) as pool:
        async with pool.acquire() as conn:
            before = (await open_signer(conn, KEY)).public_key(FIRST, KeyScheme.SECP256K1)
        await pool.execute("DELETE FROM master_secrets")
        again = await millrace.run(*imported, input=MASTER_WORDS, MILLRACE_WALLET_ENC_KEY=OTHER)
        assert again.exit_code == 0
        async with pool.acquire() as conn:
            assert (await open_signer(conn, OTHER)).public_key(FIRST, KeyScheme.SECP256K1) == before


async def test_an_older_installation_gets_its_ton_secret_and_keeps_the_other(
    installed: CommandLine, db: Pool
) -> None:
    await db.execute("DELETE FROM master_secrets WHERE name = 'ton'")
    before = await db.fetchval("SELECT envelope FROM master_secrets")
    networks = with_ton(installed)

    assert (await state_of(installed, "TON secret"))[0] == "green"
    state, remedy = await state_of(installed, "TON secret", MILLRACE_NETWORKS=networks)
    assert (state, "millrace init" in remedy) == ("red", True)

    assert done_of(await installed.json("init"))["TON secret"] == ["made"]
    kept = "SELECT envelope FROM master_secrets WHERE name = 'master'"
    assert await db.fetchval(kept) == before
    assert (await state_of(installed, "TON secret", MILLRACE_NETWORKS=networks))[0] == "green"


async def test_words_of_both_secrets_come_from_one_pipe_and_are_not_repeated(
    millrace: CommandLine,
) -> None:
    both = ("init", "--import-mnemonic", "--import-ton-mnemonic")
    swapped = await millrace.run(*both, input=f"{TON_WORDS}\n{MASTER_WORDS}\n")
    assert swapped.exit_code == 1
    assert "checksum" in swapped.stderr

    result = await millrace.run(*both, input=f"{MASTER_WORDS}\n{TON_WORDS}\n")

    assert result.exit_code == 0
    assert result.stderr.count("imported") == 2
    for word in {*MASTER_WORDS.split(), *TON_WORDS.split()} - {"art"}:
        assert f" {word} " not in swapped.output + result.output
    url = millrace.environ["MILLRACE_DATABASE_URL"]
    async with await open_pool(url, 1) as pool, pool.acquire() as conn:
        signer = await open_signer(conn, KEY)
    assert signer.public_key("m/0'/0'", KeyScheme.TON).hex() == TON_VECTOR["public_key"]


async def test_ton_words_are_imported_into_an_installation_that_has_none(
    installed: CommandLine, db: Pool
) -> None:
    second = await installed.run("init", "--import-ton-mnemonic", input=TON_WORDS)
    assert second.exit_code == 1
    assert "TON secret already" in second.stderr
    await db.execute("DELETE FROM master_secrets WHERE name = 'ton'")

    wrong = await installed.run("init", "--import-ton-mnemonic", input=MASTER_WORDS)
    right = await installed.run("init", "--import-ton-mnemonic", input=TON_WORDS)

    assert (wrong.exit_code, right.exit_code) == (1, 0)
    assert "checksum" in wrong.stderr
    async with db.acquire() as conn:
        signer = await open_signer(conn, KEY, [KeyScheme.TON])
    assert signer.public_key("m/0'/0'", KeyScheme.TON).hex() == TON_VECTOR["public_key"]


async def test_without_a_key_the_ton_secret_is_asked_for_only_where_ton_is_configured(
    installed: CommandLine, db: Pool
) -> None:
    await db.execute("DELETE FROM master_secrets WHERE name = 'ton'")
    keyless = CommandLine({k: v for k, v in installed.environ.items() if k not in KEYS})

    assert done_of(await keyless.json("init"))["TON secret"] == []
    assets = json.loads(installed.environ["MILLRACE_ASSETS"])
    ton = {"asset": "TON", "network": "ton:mainnet", "decimals": 9}
    refused = await keyless.run(
        "init", MILLRACE_NETWORKS=with_ton(installed), MILLRACE_ASSETS=json.dumps([*assets, ton])
    )

    assert refused.exit_code == 1
    assert "no TON secret yet" in refused.stderr
    assert "MILLRACE_WALLET_ENC_KEY" in refused.stderr


@pytest.mark.parametrize("name", KEYS)
async def test_a_short_key_is_refused_by_name(millrace: CommandLine, name: str) -> None:
    result = await millrace.run("init", **{name: "hunter2"})

    assert result.exit_code == 2
    assert name.removeprefix("MILLRACE_").lower() in result.stderr
    assert "16 characters" in result.stderr
    assert "hunter2" not in result.output


async def test_doctor_tells_keys_that_do_not_open_what_is_kept(installed: CommandLine) -> None:
    new = ("webhook", "add", "http://127.0.0.1:1/x", "--tenant", "acme")
    assert (await state_of(installed, "webhook secrets"))[0] == "green"
    await installed.json(*new)

    for check in ("master secret", "TON secret", "webhook secrets"):
        assert (await state_of(installed, check))[0] == "green"
    for check in ("master secret", "TON secret"):
        state, remedy = await state_of(installed, check, MILLRACE_WALLET_ENC_KEY=OTHER)
        assert (state, "MILLRACE_WALLET_ENC_KEY" in remedy) == ("red", True)
    wrong = {"MILLRACE_WEBHOOK_ENC_KEY": OTHER}
    state, remedy = await state_of(installed, "webhook secrets", **wrong)
    assert (state, "notify" in remedy) == ("red", True)


async def refused_signer(installed: CommandLine, **environ: str) -> list[str]:
    """Start a signer that ends itself; return the lines that it said."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "cli", "worker", "--role", "signer"],
        env=os.environ | installed.environ | {"MILLRACE_METRICS_PORT": "0"} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()


async def test_a_signer_with_a_wrong_key_says_so_and_nothing_else(installed: CommandLine) -> None:
    first, *rest = await refused_signer(installed, MILLRACE_WALLET_ENC_KEY=OTHER)
    assert "the key does not open the secret" in first
    assert len(rest) == 1, rest


async def test_no_signer_starts_on_other_words_than_the_addresses_came_from(
    millrace: CommandLine,
) -> None:
    imported = await millrace.run("init", "--import-mnemonic", input=MASTER_WORDS)
    assert imported.exit_code == 0
    (network,) = [row["network"] for row in json.loads(millrace.environ["MILLRACE_NETWORKS"])]
    async with await open_pool(millrace.environ["MILLRACE_DATABASE_URL"], 1) as db:
        async with db.acquire() as conn:
            key = (await open_signer(conn, KEY)).public_key(FIRST, KeyScheme.SECP256K1)
            await add_keys(conn, [PoolKey(network, 0, 0, FIRST, key)])
        await db.execute("DELETE FROM master_secrets WHERE name = 'master'")
    assert done_of(await millrace.json("init"))["master secret"] == ["made"]

    [said] = await refused_signer(millrace)
    assert "other words than the addresses" in said


async def test_a_wrong_key_gives_no_endpoint_a_secret_that_notify_cannot_read(
    installed: CommandLine, db: Pool
) -> None:
    acme = ("--tenant", "acme")
    new = ("webhook", "add", "http://127.0.0.1:1/x", *acme)
    made = await installed.json(*new)
    wrong = {"MILLRACE_WEBHOOK_ENC_KEY": OTHER}
    before = await db.fetch("SELECT * FROM endpoints")

    for command in (new, ("webhook", "rotate", made["endpoint_id"], *acme)):
        refused = await installed.run(*command, **wrong)
        assert refused.exit_code == 1
        assert "MILLRACE_WEBHOOK_ENC_KEY does not open" in refused.stderr
        assert "whsec_" not in refused.output

    assert await db.fetch("SELECT * FROM endpoints") == before
    await installed.json("webhook", "rotate", made["endpoint_id"], *acme)


async def test_after_a_lost_key_endpoints_are_disabled_and_made_anew(
    installed: CommandLine,
) -> None:
    new = ("webhook", "add", "http://127.0.0.1:1/x", "--tenant", "acme")
    made = await installed.json(*new)
    await installed.run("webhook", "disable", made["endpoint_id"], "--tenant", "acme")

    again = await installed.json(*new, MILLRACE_WEBHOOK_ENC_KEY=OTHER)

    assert again["secret"].startswith("whsec_")
