"""docs/cli.md names every command and option there is, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from cli.main import app
from devstack.paths import ROOT

TEXT = (ROOT / "docs" / "cli.md").read_text()
SECTIONS = dict(re.findall(r"^### `millrace ([a-z ]+)`\n(.*?)(?=^##|\Z)", TEXT, re.M | re.S))


def commands_of(
    command: Any,  # noqa: ANN401 - a command or a group of typer
    path: str = "",
) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from commands_of(child, f"{path} {name}".strip())


COMMANDS = dict(commands_of(typer.main.get_command(app)))


def test_the_docs_have_every_command_and_no_other() -> None:
    assert set(SECTIONS) == set(COMMANDS)
    assert len(COMMANDS) > 25


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_docs_have_every_option_and_no_other(name: str) -> None:
    options = {
        option
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "option"
        for option in parameter.opts
        if option != "--help"
    }
    assert set(re.findall(r"^\| `(--[a-z-]+)`", SECTIONS[name], re.M)) == options


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does(name: str) -> None:
    assert COMMANDS[name].help


def test_every_command_the_docs_speak_of_exists() -> None:
    groups = {name.split()[0] for name in COMMANDS}
    spoken = re.findall(r"`millrace ([a-z]+)(?: ([a-z]+))?", TEXT)
    for first, second in spoken:
        assert first in groups
        assert first in COMMANDS or not second or f"{first} {second}" in COMMANDS
