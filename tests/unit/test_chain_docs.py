"""docs/chains and docs/odd_deposits say what the code does: settings, refusals, counts, tests."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from chain_adapters.registry import open_adapter
from devstack.chains.registry import NODES
from devstack.paths import ROOT
from settings.model import Network, Settings

DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "chains").glob("*.md"))
LISTS = sorted(path for path in (DOCS / "odd_deposits").glob("*.md") if path.stem != "README")
INDEX = DOCS / "odd_deposits" / "README.md"
OVERVIEW = (DOCS / "chains.md").read_text()
BITCOIN = DOCS / "chains" / "bitcoin.md"
"""Says what holds for all chains of coins."""
FOLDERS = {"bitcoin": "utxo", "dogecoin": "utxo", "litecoin": "utxo"}


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of a table, the heading left out."""
    for line in re.findall(r"^\| (?!---)(.*) \|$", text, re.M):
        yield [cell.strip() for cell in line.split(" | ")]


def between(text: str, mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", text, re.S)
    assert found is not None
    return found[1]


@cache
def list_names(kind: str) -> frozenset[str]:
    text = (DOCS / "odd_deposits" / f"{kind}.md").read_text()
    return frozenset(row[0] for row in rows(text))


@cache
def test_names() -> frozenset[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        found |= set(re.findall(r"def (test_\w+)", path.read_text()))
    return frozenset(found)


test_names.__test__ = False  # type: ignore[attr-defined]


# Settings -----------------------------------------------------------------------------------------


def examples() -> list[tuple[str, str]]:
    return [
        (path.stem, block)
        for path in PAGES
        for block in re.findall(r"```toml\n(.*?)```", path.read_text(), re.S)
    ]


@pytest.mark.parametrize(("kind", "text"), examples(), ids=lambda value: str(value)[:12])
async def test_the_settings_shown_are_taken(
    kind: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, "x")
    settings = Settings.model_validate(tomllib.loads(text))
    for network in settings.networks:
        assert network.kind in {kind, "litecoin"}
        adapter = open_adapter(network, settings.contracts(network.network))
        for contract in settings.contracts(network.network):
            assert adapter.parse_contract(contract)
        natives = [a for a in settings.assets if (a.network, a.contract) == (network.network, None)]
        for asset in natives:
            assert asset.decimals == adapter.native_decimals
        await adapter.close()


@pytest.mark.parametrize("row", list(rows(between(OVERVIEW, "defaults")))[1:], ids=lambda r: r[0])
async def test_the_defaults_in_the_overview_are_those_of_the_settings(row: list[str]) -> None:
    kind, name, native, confirmations, finality, fee_minor_max, replace_after_s = row
    network = Network(
        network=name,
        kind=kind.strip("`"),  # type: ignore[arg-type]
        rpc_urls=("http://127.0.0.1:9",),
        native_asset=native,
    )
    assert (str(network.confirmations), network.finality) == (confirmations, finality)
    assert str(network.fee_minor_max) == fee_minor_max
    assert network.replace_after_s == float(replace_after_s)
    await open_adapter(network).close()


def test_the_overview_has_every_kind() -> None:
    kinds = {row[0].strip("`") for row in list(rows(between(OVERVIEW, "defaults")))[1:]}
    assert kinds == set(NODES)


# Refusals -----------------------------------------------------------------------------------------


def reasons_of(kind: str) -> set[str]:
    """Every reason that the code of a chain refuses payments for."""
    folder = ROOT / "chain_adapters" / FOLDERS.get(kind, kind)
    texts = [path.read_text() for path in folder.glob("*.py")]
    return {
        reason for text in texts for reason in re.findall(r"PaymentRefused\(\s*\"([a-z_]+)\"", text)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_names_every_reason_that_its_code_refuses_payments_for(page: Path) -> None:
    reasons = reasons_of(page.stem)
    assert reasons
    text = page.read_text() + (BITCOIN.read_text() if page.stem == "dogecoin" else "")
    assert {reason for reason in reasons if not re.search(rf"\b{reason}\b", text)} == set()


# Odd deposits -------------------------------------------------------------------------------------


def count_of(path: Path) -> int:
    """How many transactions a list has, in all of its tables."""
    text = path.read_text()
    return len(list(rows(text))) - len(re.findall(r"^\| ---", text, re.M))


def test_there_are_as_many_odd_deposits_as_is_said() -> None:
    said = {row[0]: int(row[1]) for row in list(rows(between(INDEX.read_text(), "counts")))[1:]}
    found = {f"[{path.stem}]({path.name})": count_of(path) for path in LISTS}
    found["all"] = sum(found.values())
    assert said.keys() == found.keys()
    assert {name for name in said if said[name] > found[name]} == set()


def test_every_chain_has_odd_deposits() -> None:
    assert {path.stem for path in LISTS} == set(NODES) - {"litecoin"}


def test_what_tries_the_known_faults_exists() -> None:
    text = INDEX.read_text().partition("## What is known")[2]
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 40
    assert named - test_names() == set()
    lines = re.findall(r"([a-z]+) \"([^\"]+)\"", text)
    assert len(lines) > 50
    assert [(kind, name) for kind, name in lines if name not in list_names(kind)] == []


# Links --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [*DOCS.glob("*.md"), *PAGES, *LISTS, INDEX, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [t for t in targets if not (path.parent / t).exists()] == []
