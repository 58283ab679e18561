"""The command line in itself: arguments and errors."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from agents.runtime.kafka_access import BrokerRefused
from chain_adapters.types import InvalidAddress, InvalidMemo
from cli.dev_env import NAME, write_env
from cli.errors import MISUSED, Problem, explain
from cli.main import app
from cli.place_order import still
from cli.stack import read_chains
from cli.work import require_port
from devstack.chains.bitcoin import CoreNode
from settings.model import Network, Settings, load_settings
from topics.withdrawals import WithdrawalCommand


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    load_settings.cache_clear()


def millrace(*arguments: str, **environ: str) -> Result:
    load_settings.cache_clear()
    return CliRunner().invoke(app, list(arguments), env=environ)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tenant", "new", "Acme"], "no short name"),
        (["withdraw", "list", "--tenant", "t", "--status", "lost"], "no status"),
        (["address", "list", "--tenant", "t", "--purpose", "x"], "no purpose"),
        (["dlq", "redrive"], "--all"),
        (["dlq", "redrive", "1", "--all"], "--all"),
        (["webhook", "replay", "--tenant", "t"], "--since"),
        (
            [
                "webhook",
                "replay",
                "--tenant",
                "t",
                "--since",
                "2026-02-01",
                "--until",
                "2026-01-01",
            ],
            "must be after",
        ),
        (["webhook", "replay", "--tenant", "t", "--since", "0001-01-01T00:00:00+14:00"], "in UTC"),
        (["init", "--show-mnemonic"], "terminal"),
        (["init", "--show-mnemonic", "--import-mnemonic"], "terminal"),
        (["address", "new", "--tenant", "t"], "--owner"),
        (["address", "new", "--tenant", "t", "--owner", ""], "1 to 128"),
        (["address", "new", "--tenant", "t", "--owner", "o" * 129], "1 to 128"),
        (
            ["address", "new", "--tenant", "t", "--owner", "o", "--label", "l" * 301],
            "--label has 301 characters; it may have 300",
        ),
        (["tenant", "new", "t", "--name", "n" * 129], "--name has 129 characters"),
        (["withdraw", "approve", "o", "--tenant", "t", "--actor", "a" * 129], "--actor has 129"),
        (["withdraw", "reject", "o", "--tenant", "t", "--detail", "d" * 301], "--detail has 301"),
        (["dlq", "show", str(2**63)], "Invalid value for 'ID'"),
        (["dlq", "discard"], "ID"),
        (["network", "resume", "bitcoyn"], "network 'bitcoyn' is not configured"),
        (["rescan"], "--from"),
        (["nonsense"], "nonsense"),
        (["worker", "--role", "king"], "there is chain"),
        (["demo", "--chain", "bitcoyn"], "no chain 'bitcoyn'; there is ethereum, bitcoin"),
        (["up", "--chain", "ethereum", "--chain", "x"], "no chain 'x'"),
    ],
)
def test_a_command_that_cannot_be_meant_so_ends_with_2(arguments: list[str], words: str) -> None:
    result = millrace(*arguments)
    assert result.exit_code == MISUSED
    assert words in result.stderr
    assert result.stdout == ""


def test_all_chains_are_those_whose_node_is_here_and_the_others_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(CoreNode, "is_installed", classmethod(lambda _: False))
    assert read_chains(["all"]) == ("ethereum", "solana", "ton", "stellar", "tron")
    assert "bitcoin, dogecoin, litecoin" in capsys.readouterr().err


@pytest.mark.parametrize("amounts", [[], ["--amount", "1", "--amount-minor", "1"]])
def test_a_withdrawal_takes_exactly_one_amount(amounts: list[str]) -> None:
    order = ["--tenant", "t", "--owner", "o", "--asset", "ETH", "--address", "0x", *amounts]
    result = millrace("withdraw", "request", *order)
    assert result.exit_code == MISUSED
    assert "either" in result.stderr


def test_an_empty_id_of_an_order_is_not_taken_for_none() -> None:
    order = ["--tenant", "t", "--owner", "o", "--asset", "ETH", "--address", "0x", "--amount", "1"]
    result = millrace("withdraw", "request", *order, "--id", "")
    assert (result.exit_code, "--id is empty" in result.stderr) == (MISUSED, True)


def test_a_command_that_breaks_the_schema_names_the_field_and_is_not_sent() -> None:
    order = ["--tenant", "t", "--owner", "o", "--asset", "ETH", "--address", "0x"]
    result = millrace("withdraw", "request", *order, "--amount-minor", "1.5")
    assert (result.exit_code, "'1.5' is no amount of minor units" in result.stderr) == (
        MISUSED,
        True,
    )
    result = millrace("withdraw", "request", *order, "--amount-minor", "1", "--id", "i" * 129)
    assert (result.exit_code, "id: " in result.stderr) == (MISUSED, True)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("MILLRACE_DATABASE_POOL_SIZE", "hunter2", "database_pool_size"),
        ("MILLRACE_LEASE_S", "1e400", "lease_s"),
        ("MILLRACE_TOPIC_PREFIX", "hunter 2", "topic_prefix"),
        ("MILLRACE_DATABASE_POOL_SIZE", "2", "database_pool_size"),
        ("MILLRACE_NETWORKS", '[{"network": "hunter2"}]', "networks.0.network"),
        ("MILLRACE_NETWORKS", "[{hunter2", "MILLRACE_NETWORKS is not JSON"),
        ("MILLRACE_WALLET_ENC_KEY", "hunter2", "wallet_enc_key: a key needs"),
        ("MILLRACE_LOG_LEVEL", "hunter2", "log_level"),
        ("MILLRACE_DATABASE_URL", "", "database_url: the URL must begin with postgresql://"),
        ("MILLRACE_DATABASE_URL", "u:hunter2@127.0.0.1/x", "database_url: the URL must begin"),
        ("MILLRACE_DATABASE_URL", "postgresql://u:hunter2/@h/x", "database_url: the URL cannot"),
        ("MILLRACE_DATABASE_URL", "postgresql://u:hunter2@h:65536/x", "database_url: a port is"),
        ("MILLRACE_DATABASE_URL", "postgresql://u:hunter2@g,h:65536/x", "database_url: a port is"),
        ("MILLRACE_KAFKA_BOOTSTRAP", "", "kafka_bootstrap: each broker must be host:port"),
        ("MILLRACE_KAFKA_BOOTSTRAP", "127.0.0.1", "kafka_bootstrap: each broker must be"),
        ("MILLRACE_KAFKA_BOOTSTRAP", "kafka://hunter2:1", "kafka_bootstrap: each broker must be"),
        ("MILLRACE_KAFKA_BOOTSTRAP", "u:hunter2@h:1", "kafka_bootstrap: each broker must be"),
        ("MILLRACE_KAFKA_BOOTSTRAP", "h:9092,[::1]:65536", "kafka_bootstrap: a port is above"),
    ],
)
def test_a_bad_configuration_names_the_field_and_not_the_value(
    name: str, value: str, field: str
) -> None:
    result = millrace("tenant", "list", **{name: value})
    assert result.exit_code == MISUSED
    assert field in result.stderr
    assert "hunter2" not in result.stderr


AWAY = {
    "MILLRACE_KAFKA_BOOTSTRAP": "127.0.0.1:9",
    "MILLRACE_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:9/x",
}


def test_a_variable_that_is_no_setting_is_told_of_by_every_command() -> None:
    result = millrace("tenant", "list", MILLRACE_TOPIC_PREFX="hunter2", **AWAY)
    assert "MILLRACE_TOPIC_PREFX (is MILLRACE_TOPIC_PREFIX meant?)" in result.stderr
    assert "database cannot be reached" in result.stderr
    assert "hunter2" not in result.stderr


def test_a_variable_that_is_no_setting_is_a_finding_of_doctor() -> None:
    result = millrace("doctor", "--json", MILLRACE_TOPIC_PREFX="hunter2", **AWAY)
    found = {row["check"]: row for row in json.loads(result.stdout)}
    finding = found["variable MILLRACE_TOPIC_PREFX"]
    assert (finding["state"], finding["remedy"]) == ("yellow", "Is MILLRACE_TOPIC_PREFIX meant?")
    assert "PREFX" not in result.stderr


def test_a_configuration_file_that_is_not_there_is_an_error() -> None:
    result = millrace("tenant", "list", MILLRACE_CONFIG="/nowhere/millrace.toml")
    assert result.exit_code == MISUSED
    assert "/nowhere/millrace.toml" in result.stderr


def test_a_file_that_is_closed_to_us_is_told_with_its_name() -> None:
    problem = explain(PermissionError(13, "Permission denied", "/etc/millrace.toml"))
    assert problem is not None
    assert "/etc/millrace.toml" in problem.what
    assert "Permission denied" in problem.what


def test_a_configuration_file_that_is_not_toml_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "millrace.toml").write_text("[[networks")
    result = millrace("tenant", "list")
    assert result.exit_code == MISUSED
    assert "TOML" in result.stderr


def test_a_database_that_is_away_is_told_without_its_password() -> None:
    result = millrace(
        "tenant", "list", MILLRACE_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:9/x"
    )
    assert result.exit_code == 1
    assert "database cannot be reached" in result.stderr
    assert "MILLRACE_DATABASE_URL" in result.stderr
    assert "hunter2" not in result.stderr


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Problem) as raised:
        require_port(Settings(metrics_port=taken.getsockname()[1]))
    assert raised.value.what.endswith("cannot be listened on: Address already in use")
    assert "MILLRACE_METRICS_PORT" in raised.value.remedy


@pytest.mark.parametrize(
    ("role", "key"),
    [("signer", "MILLRACE_WALLET_ENC_KEY"), ("notify", "MILLRACE_WEBHOOK_ENC_KEY")],
)
def test_a_worker_without_its_key_does_not_start(role: str, key: str) -> None:
    result = millrace("worker", "--role", role)
    assert result.exit_code == MISUSED
    assert key in result.stderr


def test_no_wallet_signs_without_the_key() -> None:
    result = millrace("wallet", "trust", "stellar", "t", "USDC")
    assert result.exit_code == MISUSED
    assert "MILLRACE_WALLET_ENC_KEY is not set" in result.stderr


def test_a_webhook_secret_is_not_made_without_its_key() -> None:
    result = millrace("webhook", "add", "https://example.com/x", "--tenant", "t")
    assert result.exit_code == MISUSED
    assert "MILLRACE_WEBHOOK_ENC_KEY" in result.stderr


def test_a_variable_that_is_configured_and_not_set_is_named() -> None:
    network = {
        "network": "ton:testnet",
        "kind": "ton",
        "rpc_urls": ["http://127.0.0.1:9"],
        "rpc_headers": {"X-API-Key": "${NOT_SET}"},
        "native_asset": "TON",
    }
    words = ["address", "new", "--tenant", "t", "--owner", "o"]
    result = millrace(*words, MILLRACE_NETWORKS=json.dumps([network]))
    assert result.exit_code == MISUSED
    assert "ton:testnet is not configured right: the environment variable NOT_SET" in result.stderr


def test_an_address_or_memo_that_is_none_is_a_slip() -> None:
    for error in (InvalidAddress("expected a T"), InvalidMemo("expected a T")):
        problem = explain(error)
        assert problem is not None
        assert (problem.status, "expected a T" in problem.what) == (MISUSED, True)


def test_a_broker_that_is_away_is_told_without_names_of_classes() -> None:
    problem = explain(BrokerRefused("127.0.0.1:9: no answer in time"))
    assert problem is not None
    assert problem.what == "the broker is away or refuses: 127.0.0.1:9: no answer in time"


def test_a_withdrawal_that_takes_its_time_is_told_by_who_must_act() -> None:
    command = WithdrawalCommand(
        type="withdrawal.request",
        tenant="acme",
        id="o-1",
        owner="alice",
        asset="ETH",
        amount_minor="1",
        address="0x",
    )
    assert "role withdrawals" in still(command, "sent", 5).remedy
    assert "role withdrawals" not in still(command, "broadcast", 5).remedy
    waits = still(command, "awaiting_approval", 5)
    assert "by itself" not in waits.meaning
    assert "millrace withdraw approve o-1 --tenant acme" in waits.remedy
    held_up = still(command, "approved", 5, ["tenant_suspended"])
    assert "tenant_suspended" in held_up.meaning


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), TimeoutError(), socket.gaierror(), ConnectionResetError()]
)
def test_a_connection_lost_in_the_middle_is_told(error: OSError) -> None:
    problem = explain(error)
    assert problem is not None
    assert (problem.status, "does not answer" in problem.what) == (1, True)


def test_a_word_that_is_not_utf_8_is_a_slip() -> None:
    problem = explain(asyncpg.DataError("'utf-8' codec can't encode: surrogates not allowed"))
    assert problem is not None
    assert problem.status == MISUSED
    assert explain(asyncpg.DataError("value out of int64 range")) is None


def test_an_error_nobody_expected_is_not_explained_away() -> None:
    assert explain(ZeroDivisionError()) is None


def test_a_problem_is_told_in_three_parts(capsys: pytest.CaptureFixture[str]) -> None:
    from cli.session import tell

    assert tell(Problem("it fell", meaning="it is down", remedy="lift it")) == 1
    assert capsys.readouterr().err == "millrace: it fell\n  it is down\n  lift it\n"


def test_doctor_finds_what_is_away_and_says_what_to_do() -> None:
    network = Network(
        network="eip155:1",
        kind="ethereum",
        rpc_urls=("http://127.0.0.1:9/secret",),
        native_asset="ETH",
    )
    result = millrace(
        "doctor",
        "--json",
        MILLRACE_KAFKA_BOOTSTRAP="127.0.0.1:9",
        MILLRACE_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:9/x",
        MILLRACE_NETWORKS=json.dumps([network.model_dump()]),
    )
    assert result.exit_code == 1
    found = {row["check"]: row for row in json.loads(result.stdout)}
    assert {row["state"] for row in found.values()} == {"red"}
    assert set(found) == {"configuration", "broker", "database", "node eip155:1 at 127.0.0.1:9"}
    assert all(row["remedy"] for row in found.values())
    assert found["node eip155:1 at 127.0.0.1:9"]["detail"] == "connection failed: refused"
    assert "hunter2" not in result.output
    assert "secret" not in result.output


def test_a_stack_that_gave_way_to_one_variable_is_told_of() -> None:
    Path(".millrace").mkdir()
    write_env(Path(".millrace") / NAME, {"MILLRACE_DATABASE_URL": "postgresql://127.0.0.1:9/x"})
    result = millrace("tenant", "list", MILLRACE_WEBHOOK_ALLOW_PRIVATE="true")
    assert result.exit_code == 1
    assert "is not read, because of MILLRACE_WEBHOOK_ALLOW_PRIVATE" in result.stderr
    Path("millrace.toml").write_text("")
    assert "because of millrace.toml" in millrace("tenant", "list").stderr
    meant = {"MILLRACE_DATABASE_URL": "postgresql://127.0.0.1:9/x"}
    assert "is not read" not in millrace("tenant", "list", **meant).stderr
