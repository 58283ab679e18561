"""What the command line prints: amounts, moments, rows for people."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import Problem, explain
from cli.output import (
    as_json,
    minor,
    print_fields,
    print_json,
    print_problem,
    print_rows,
    say,
    whole,
)
from cli.session import pick_network
from cli.shown import show_addresses
from settings.model import Network, Settings


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
        "eip155:1": "network 'eip155:1' is not configured; there is tron:0x2b6653dc (tron), ",
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


def test_times_without_a_zone_are_utc() -> None:
    from cli.webhook import _utc

    assert _utc(datetime(2026, 1, 2)) == datetime(2026, 1, 2, tzinfo=UTC)


HOSTILE = "al\x1b[2J\u202eice\x9b1m\x07\x00\r\U000e0041\nstatus  confirmed"


def test_no_word_of_a_stranger_commands_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"owner": HOSTILE, "status": "failed", "listed": [HOSTILE]}
    print_rows([row], json_wanted=False, empty="")
    print_rows([row], json_wanted=True, empty="")
    print_fields(row, json_wanted=False)
    print_json(row)
    say(HOSTILE)
    print_problem(Problem(HOSTILE, meaning=HOSTILE))
    printed = capsys.readouterr()
    for line in (printed.out + printed.err).split("\n"):
        assert line.isprintable()
    assert r"al\u001b[2J\u202eice\u009b1m" in printed.out
    assert printed.out.count("\nstatus") == 1, "a field of its own, not one that an owner made up"


WIDE_ROW = {"id": "order-1", "address": "0x" + "d0" * 20, "memo": None}


def on_a_terminal(program: str, columns: int) -> list[str]:
    """Return the lines that a program of ours prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1"}
    subprocess.run([sys.executable, "-c", program], stdout=theirs, env=environ, check=True)
    os.close(theirs)
    printed = os.read(ours, 100_000).decode()
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", printed).splitlines()


@pytest.mark.parametrize(("columns", "table"), [(80, True), (40, False)])
def test_no_table_is_cut_to_fit_a_terminal(columns: int, table: bool) -> None:
    program = (
        f"from cli.output import print_rows; print_rows([{WIDE_ROW}], json_wanted=False, empty='')"
    )
    lines = [line.split() for line in on_a_terminal(program, columns) if line.strip()]
    if table:
        assert lines[0] == list(WIDE_ROW)
        assert lines[-1] == ["order-1", WIDE_ROW["address"], "–"]
    else:
        assert lines == [["id", "order-1"], ["address", WIDE_ROW["address"]], ["memo", "–"]]


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_output_is_no_error(closed: str) -> None:
    command = f"{sys.executable} -m cli --version {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_full_disk_is_told_in_words() -> None:
    problem = explain(OSError(errno.ENOSPC, "No space left on device"))
    assert problem is not None
    assert "the disk is full" in problem.what


def test_an_output_that_knows_ascii_alone_gets_all_the_same() -> None:
    program = (
        "from cli.output import prepare_streams; prepare_streams(); print('\u2714 \U0001f4b8')"
    )
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environ, check=True
    )
    assert done.stdout == b"\\u2714 \\U0001f4b8\n"


def test_json_means_the_same_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"owner": HOSTILE, "name": "Zoë 💸"})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"owner": HOSTILE, "name": "Zoë 💸"}
    assert "Zoë 💸" in printed
