"""A misspelt variable is told of, and no other."""

from __future__ import annotations

import re

import pytest

from devstack.paths import ROOT
from settings.model import Network, Settings
from settings.unknown import OTHERS, unknown_variables


def unknown(*names: str, settings: Settings | None = None) -> dict[str, str | None]:
    return unknown_variables(settings or Settings(), dict.fromkeys(names, "x"))


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("MILLRACE_DATABSE_URL", "MILLRACE_DATABASE_URL"),
        ("MILLRACE_DB_URL", "MILLRACE_DATABASE_URL"),
        ("millrace_kafka_bootstrp", "MILLRACE_KAFKA_BOOTSTRAP"),
        ("MILLRACE_WALLET_KEY", "MILLRACE_WALLET_ENC_KEY"),
        ("MILLRACE_XYZZY", None),
    ],
)
def test_the_nearest_known_variable_is_named(misspelt: str, meant: str | None) -> None:
    assert unknown(misspelt) == {misspelt: meant}


def test_settings_are_known_in_any_case_and_what_is_not_ours_is_none_of_our_business() -> None:
    assert unknown("MILLRACE_DATABASE_URL", "millrace_lease_s", "MILLRACE_CONFIG", "PATH") == {}


def test_what_the_configuration_itself_takes_from_a_variable_is_known() -> None:
    settings = Settings(
        networks=(
            Network(
                network="ton:testnet",
                kind="ton",
                rpc_urls=("https://${MILLRACE_NODE}/x",),
                rpc_headers={"X-API-Key": "${millrace_key}"},
                push_url="wss://${MILLRACE_PUSH}",
                native_asset="TON",
            ),
        )
    )
    names = ("MILLRACE_NODE", "millrace_key", "MILLRACE_PUSH", "MILLRACE_NODES")
    assert unknown(*names, settings=settings) == {"MILLRACE_NODES": "MILLRACE_NODE"}


def test_every_variable_that_our_own_files_set_is_known() -> None:
    folders = ("ops", "devstack", "cli", "docs")
    files = [path for name in folders for path in (ROOT / name).rglob("*.*") if path.is_file()]
    files += [ROOT / name for name in ("docker-compose.yml", "Makefile", "Dockerfile")]
    texts = [path.read_text() for path in files if "__pycache__" not in path.parts]
    names = set(re.findall(r"MILLRACE_[A-Z_]*[A-Z]\b", " ".join(texts)))
    assert len(names) > 20
    assert unknown(*names) == {}
    assert names >= OTHERS
