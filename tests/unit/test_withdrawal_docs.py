"""docs/withdrawals.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.check_withdrawals import REFUSED_HOLDS
from chain_adapters.ethereum.address import parse_address
from cli.waits import WORDS
from sql.withdrawals import WAIT_REASONS
from topics.withdrawals import WithdrawalCommand

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "withdrawals.md").read_text()
COMMANDS = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
MIGRATION = (ROOT / "sql" / "migrations" / "0004_withdrawals.sql").read_text()
SOURCES = "".join(
    (ROOT / name).read_text()
    for name in (
        "agents/check_withdrawals.py",
        "custody/orders.py",
        "custody/limits.py",
        "custody/approve.py",
        "custody/give_up.py",
        "sql/transactions.sql",
        "chain_adapters/ethereum/quoting.py",
    )
)


def table_after(heading: str) -> set[str]:
    """Return the first column of the table under a heading."""
    part = TEXT.split(heading, 1)[1]
    rows = part.split("\n|---", 1)[1].split("\n\n", 1)[0]
    return set(re.findall(r"^\| `([^`]+)`", rows, re.MULTILINE))


def test_there_are_examples() -> None:
    assert len(COMMANDS) >= 2


@pytest.mark.parametrize("text", COMMANDS)
def test_every_command_shown_is_valid(text: str) -> None:
    command = WithdrawalCommand.model_validate_json(text)
    assert parse_address(command.address)
    assert int(command.amount_minor) > 0


def test_every_field_of_the_command_is_described() -> None:
    assert table_after("## The command") == set(WithdrawalCommand.model_fields)


@pytest.mark.parametrize(
    "reason", sorted(table_after("withdrawal.rejected\n") | table_after("withdrawal.failed\n"))
)
def test_every_reason_described_is_given_somewhere(reason: str) -> None:
    assert reason.partition("<")[0] in SOURCES


def test_every_reason_of_the_code_is_described() -> None:
    described = table_after("withdrawal.rejected\n")
    given = set(re.findall(r'_rejected\("(\w+)"\)|return "(\w+)"', SOURCES))
    assert {first or second for first, second in given} | set(REFUSED_HOLDS.values()) <= described


def test_every_state_is_described() -> None:
    statuses = MIGRATION.split("CHECK (status IN (", 1)[1].split("))", 1)[0]
    assert table_after("## States") == set(re.findall(r"'(\w+)'", statuses))


def test_every_reason_to_wait_is_described_and_known_to_the_database() -> None:
    status = (ROOT / "docs" / "cli.md").read_text().split("### `millrace withdraw status`", 1)[1]
    described = set(
        re.findall(r"^\| `(\w+)(?:: …)?` \|", status.split("\n### ", 1)[0], re.MULTILINE)
    )
    assert described == {*WAIT_REASONS, "wallet_short"}
    allowed = MIGRATION.split("CHECK (waits_for IN (", 1)[1].split("))", 1)[0]
    assert set(re.findall(r"'(\w+)'", allowed)) == set(WAIT_REASONS) == set(WORDS)
