"""The catalogue against the naming rules of Prometheus and against what is really exported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from metrics import catalogue
from metrics.catalogue import CATALOGUE, LABELS, REGISTRY, SHARED_REGISTRY, Entry
from metrics.rpc import observe_request

ROOT = Path(__file__).parents[2]

# A label named like these would have as many values as there are users or transactions.
UNBOUNDED = {"address", "tenant", "owner", "transaction_id", "block_id", "height", "url", "id"}


def _objects() -> list[MetricWrapperBase]:
    return [value for value in vars(catalogue).values() if isinstance(value, MetricWrapperBase)]


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)
def test_every_metric_is_named_by_the_rules(entry: Entry) -> None:
    assert re.fullmatch(r"millrace_[a-z][a-z0-9_]*", entry.name)
    assert entry.name.endswith("_total") == (entry.kind == "counter")
    assert not re.search(r"_(ms|millis|minutes|hours|kb|mb|minor)(_|$)", entry.name)
    assert entry.meaning.endswith(".")


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)
def test_every_label_is_bounded_and_explained(entry: Entry) -> None:
    assert set(entry.labels) <= set(LABELS)
    assert not set(entry.labels) & UNBOUNDED


def test_no_label_is_explained_in_vain() -> None:
    assert set(LABELS) == {label for entry in CATALOGUE.values() for label in entry.labels}


def test_the_exported_objects_are_the_catalogue() -> None:
    exported = {}
    for metric in _objects():
        described = next(iter(metric.describe()))
        name = described.name + ("_total" if described.type == "counter" else "")
        exported[name] = (described.type, described.documentation)
    assert exported == {e.name: (e.kind, e.meaning) for e in CATALOGUE.values()}


def test_shared_metrics_are_gauges_and_in_their_own_registry() -> None:
    shared = {entry.name for entry in CATALOGUE.values() if entry.shared}
    registered = {family.name for family in SHARED_REGISTRY.collect()}
    assert registered == shared
    assert {CATALOGUE[name].kind for name in shared} == {"gauge"}
    assert not shared & {family.name for family in REGISTRY.collect()}


def test_a_prepared_network_asset_and_stage_show_zeros() -> None:
    catalogue.prepare_network("eip155:424242")
    catalogue.prepare_asset("eip155:424242", "ETH")
    catalogue.prepare_stage("some_stage")
    families = text_string_to_metric_families(generate_latest(REGISTRY).decode())
    samples = {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if {"eip155:424242", "some_stage"} & set(sample.labels.values())
    }
    assert samples["millrace_reorg_depth_blocks_count"] == 0
    assert samples["millrace_dead_letters_total"] == 0
    assert set(samples.values()) == {0}


def test_a_request_to_a_node_is_timed_and_tells_whether_the_endpoint_answers() -> None:
    labels = {"network": "eip155:77", "method": "eth_chainId", "outcome": "unavailable"}
    endpoint = {"network": "eip155:77", "endpoint": "1"}
    observe_request("eip155:77", "eth_chainId", 1, 0.25, ok=False)
    assert REGISTRY.get_sample_value("millrace_rpc_request_seconds_sum", labels) == 0.25
    assert REGISTRY.get_sample_value("millrace_rpc_endpoint_up", endpoint) == 0
    observe_request("eip155:77", "eth_chainId", 1, 0.25, ok=True)
    assert REGISTRY.get_sample_value("millrace_rpc_endpoint_up", endpoint) == 1


def test_every_metric_is_fed_by_the_program() -> None:
    """A metric that nothing sets would leave its graphs empty and its alerts silent."""
    folders = ("agents", "chain_adapters", "custody", "ledger", "metrics", "notifications", "sql")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    program = "\n".join(file.read_text() for file in files if file.name != "catalogue.py")
    names = [
        name for name, value in vars(catalogue).items() if isinstance(value, MetricWrapperBase)
    ]
    assert [name for name in names if not re.search(rf"\b{name}\b", program)] == []
