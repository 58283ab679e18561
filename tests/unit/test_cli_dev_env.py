"""The file by which a second terminal finds the development stack."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cli.dev_env import NAME, adopt_dev_env, read_env, write_env
from cli.errors import Problem
from settings.model import load_settings


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    load_settings.cache_clear()


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
