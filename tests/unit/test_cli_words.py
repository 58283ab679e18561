"""The command line in itself: arguments, errors, output, the development stack's file."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from agents.runtime.kafka_access import BrokerRefused
from chain_adapters.types import InvalidAddress, InvalidMemo
from cli.dev_env import NAME, adopt_dev_env, read_env, write_env
from cli.errors import MISUSED, Problem, explain
from cli.main import app
from cli.output import as_json, minor, whole
from cli.session import pick_network
from cli.shown import show_addresses
from cli.withdraw import still
from cli.work import require_port
from settings.model import Network, Settings, load_settings
from topics.withdrawals import WithdrawalCommand

HEAVY = {"asyncpg", "aiokafka", "faust", "web3", "pydantic", "aiohttp", "devstack.stack"}


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    load_settings.cache_clear()


def millrace(*arguments: str, **environ: str) -> Result:
    load_settings.cache_clear()
    return CliRunner().invoke(app, list(arguments), env=environ)


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print(sorted(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.rpartition("[")[2].replace("'", "").rstrip("]\n").split(", "))
    assert "typer" in loaded
    assert not loaded & HEAVY


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
        (["init", "--show-mnemonic"], "terminal"),
        (["init", "--show-mnemonic", "--import-mnemonic"], "terminal"),
        (["address", "new", "--tenant", "t"], "--owner"),
        (["address", "new", "--tenant", "t", "--owner", ""], "1 to 128"),
        (["address", "new", "--tenant", "t", "--owner", "o" * 129], "1 to 128"),
        (["dlq", "show", str(2**63)], "Invalid value for 'ID'"),
        (["dlq", "discard"], "ID"),
        (["network", "resume", "bitcoyn"], "network bitcoyn is not configured"),
        (["rescan"], "--from"),
        (["nonsense"], "nonsense"),
        (["worker", "--role", "king"], "there is chain"),
        (["demo", "--chain", "bitcoyn"], "no chain bitcoyn; there is ethereum, bitcoin"),
        (["up", "--chain", "ethereum", "--chain", "x"], "no chain x"),
    ],
)
def test_a_command_that_cannot_be_meant_so_ends_with_2(arguments: list[str], words: str) -> None:
    result = millrace(*arguments)
    assert result.exit_code == MISUSED
    assert words in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("amounts", [[], ["--amount", "1", "--amount-minor", "1"]])
def test_a_withdrawal_takes_exactly_one_amount(amounts: list[str]) -> None:
    order = ["--tenant", "t", "--owner", "o", "--asset", "ETH", "--address", "0x", *amounts]
    result = millrace("withdraw", "request", *order)
    assert result.exit_code == MISUSED
    assert "either" in result.stderr


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
        ("MILLRACE_NETWORKS", '[{"network": "hunter2"}]', "networks.0.network"),
        ("MILLRACE_NETWORKS", "[{hunter2", "MILLRACE_NETWORKS is not JSON"),
        ("MILLRACE_WALLET_ENC_KEY", "hunter2", "wallet_enc_key: a key needs"),
        ("MILLRACE_LOG_LEVEL", "hunter2", "log_level"),
    ],
)
def test_a_bad_configuration_names_the_field_and_not_the_value(
    name: str, value: str, field: str
) -> None:
    result = millrace("tenant", "list", **{name: value})
    assert result.exit_code == MISUSED
    assert field in result.stderr
    assert "hunter2" not in result.stderr


def test_a_configuration_file_that_is_not_there_is_an_error() -> None:
    result = millrace("tenant", "list", MILLRACE_CONFIG="/nowhere/millrace.toml")
    assert result.exit_code == MISUSED
    assert "/nowhere/millrace.toml" in result.stderr


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
    assert set(found) == {"broker", "database", "node eip155:1 at 127.0.0.1:9"}
    assert all(row["remedy"] for row in found.values())
    assert found["node eip155:1 at 127.0.0.1:9"]["detail"] == "connection failed: refused"
    assert "hunter2" not in result.output
    assert "secret" not in result.output


# Amounts ------------------------------------------------------------------------------------------


@given(st.integers(min_value=-(10**78) + 1, max_value=10**78 - 1), st.integers(0, 36))
def test_whole_units_lose_nothing(amount_minor: int, decimals: int) -> None:
    assert minor(whole(amount_minor, decimals), decimals) == amount_minor


@pytest.mark.parametrize(
    ("amount_minor", "decimals", "text"),
    [
        (1500, 3, "1.5"),
        (0, 18, "0"),
        (10**18, 18, "1"),
        (1, 18, "0.000000000000000001"),
        (1200, 0, "1200"),
        (-5, 1, "-0.5"),
    ],
)
def test_whole_units_are_written_plainly(amount_minor: int, decimals: int, text: str) -> None:
    assert whole(amount_minor, decimals) == text


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.5.5", "NaN", "Infinity", "1.0001", "1e3", "1_000", "1,5", ".5", "5.", "٣", "+1"],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no amount"):
        minor(text, 3)


class Row(NamedTuple):
    id: int
    fee_minor: int
    minor_min: int | None
    seen_at: datetime
    memo: str | None


def test_amounts_are_strings_in_json_and_moments_are_utc() -> None:
    east = timezone(timedelta(hours=2))
    row = Row(7, 10**30, None, datetime(2026, 1, 2, 3, tzinfo=east), None)
    assert as_json(row) == {
        "id": 7,
        "fee_minor": "1" + "0" * 30,
        "minor_min": None,
        "seen_at": "2026-01-02T01:00:00Z",
        "memo": None,
    }


# Rows for people ----------------------------------------------------------------------------------

TRON = Network(
    network="tron:0x2b6653dc", kind="tron", rpc_urls=("http://127.0.0.1:9",), native_asset="TRX"
)


async def test_addresses_are_shown_as_people_paste_them() -> None:
    shown, pasted = (
        "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
        "41a614f803b6fd780986a42c78ec9c7f77e6ded13c",
    )
    rows: list[dict[str, str | None]] = [
        {"network": "tron:0x2b6653dc", "address": pasted, "sender": None},
        {"network": "tron:0x2b6653dc", "address": "what was refused", "sender": pasted},
        {"network": "eip155:1", "address": "of a network that was taken out", "sender": pasted},
        {"network": None, "address": "of no network", "sender": None},
    ]
    found = await show_addresses(Settings(networks=(TRON,)), rows, ("address", "sender"))
    assert [(row["address"], row["sender"]) for row in found] == [
        (shown, None),
        ("what was refused", shown),
        ("of a network that was taken out", pasted),
        ("of no network", None),
    ]


async def test_an_address_is_shown_even_if_the_node_cannot_be_asked() -> None:
    network = TRON.model_copy(update={"rpc_headers": {"X-API-Key": "${NOT_SET}"}})
    rows = [{"network": network.network, "address": "41" + "ab" * 20}]
    assert await show_addresses(Settings(networks=(network,)), rows) == rows


def test_a_network_is_named_by_its_id_or_by_its_kind_if_that_is_plain() -> None:
    nile = TRON.model_copy(update={"network": "tron:0xcd8690dc"})
    ton = TRON.model_copy(update={"network": "ton:mainnet", "kind": "ton"})
    settings = Settings(networks=(TRON, nile, ton))
    assert pick_network(settings, nile.network) == nile
    assert pick_network(settings, "ton") == ton
    assert pick_network(Settings(networks=(nile,)), None) == nile
    for wanted, told in {
        "tron": "say which --network: tron:0x2b6653dc (tron), tron:0xcd8690dc (tron)",
        "eip155:1": "network eip155:1 is not configured; there is tron:0x2b6653dc (tron), ",
    }.items():
        with pytest.raises(Problem, match=re.escape(told)):
            pick_network(settings, wanted)


def test_a_dead_letter_is_listed_with_its_reason_not_with_a_line_of_code() -> None:
    from cli.dlq import ERROR_CHARS, _reason

    trace = '  File "/a/b.py", line 7, in apply\n    raise KeyError(1)\n'
    assert _reason(f"KeyError: 1\n{trace}") == "KeyError: 1"
    assert len(_reason("x" * 1000)) == ERROR_CHARS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ("all", "enabled")),
        ({"event_types": ["a.b", "c.d"]}, ("a.b, c.d", "enabled")),
        ({"failing_since": "2026-01-02T03:04:05Z"}, ("all", "failing since 2026-01-02T03:04:05Z")),
        ({"disabled_reason": "gone"}, ("all", "disabled: it answered 410")),
        ({"disabled_reason": "failing"}, ("all", "disabled: it failed for days")),
        ({"disabled_reason": "operator"}, ("all", "disabled by an operator")),
    ],
)
def test_an_endpoint_is_listed_in_words(changes: dict[str, object], words: tuple[str, str]) -> None:
    from cli.webhook import _in_words

    row = dict.fromkeys(("event_types", "disabled_at", "disabled_reason", "failing_since"))
    row |= changes | {"disabled_at": changes.get("disabled_reason") and "2026-01-02T03:04:05Z"}
    found = _in_words(row)
    assert (found["event_types"], found["state"]) == words


# The development stack's file ---------------------------------------------------------------------


def test_a_second_terminal_finds_the_development_stack(tmp_path: Path) -> None:
    values = {"MILLRACE_NETWORKS": '[{"a": "it\'s; $x `y`"}]', "MILLRACE_X": "1=2"}
    (tmp_path / ".millrace").mkdir()
    write_env(tmp_path / ".millrace" / NAME, values)
    environ = {"HOME": "/root", "MILLRACE_CACHE_DIR": "/c"}
    assert adopt_dev_env(tmp_path, environ) == tmp_path / ".millrace" / NAME
    assert environ == {"HOME": "/root", "MILLRACE_CACHE_DIR": "/c", **values}


def test_a_shell_reads_the_same_values(tmp_path: Path) -> None:
    write_env(tmp_path / NAME, {"MILLRACE_X": "it's; $HOME `id` \\"})
    script = f'. {tmp_path / NAME}; printf %s "$MILLRACE_X"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "it's; $HOME `id` \\"


def test_the_development_stack_gives_way_to_settings(tmp_path: Path) -> None:
    (tmp_path / ".millrace").mkdir()
    write_env(tmp_path / ".millrace" / NAME, {"MILLRACE_X": "dev"})
    environ = {"MILLRACE_KAFKA_BOOTSTRAP": "k:1"}
    assert adopt_dev_env(tmp_path, environ) is None
    (tmp_path / "millrace.toml").touch()
    assert adopt_dev_env(tmp_path, {}) is None
    assert "MILLRACE_X" not in environ


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


def test_a_file_with_keys_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / NAME
    write_env(file, {"MILLRACE_X": "1"})
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    with pytest.raises(Problem, match="not for its owner alone"):
        read_env(file)


def test_the_keys_of_the_development_stack_stay_the_same(tmp_path: Path) -> None:
    from cli.stack import KEY_FILE, KEYS, dev_keys

    keys = dev_keys(tmp_path / "data", {})
    assert set(keys) == set(KEYS)
    assert dev_keys(tmp_path / "data", {}) == keys
    assert dev_keys(tmp_path / "data", {KEYS[0]: "mine"}) == keys | {KEYS[0]: "mine"}
    assert (tmp_path / "data" / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_times_without_a_zone_are_utc() -> None:
    from cli.webhook import _utc

    assert _utc(datetime(2026, 1, 2)) == datetime(2026, 1, 2, tzinfo=UTC)
