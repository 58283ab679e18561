"""Alerts and dashboards against the catalogue: what they name is what the workers export."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

import notifications.deliver  # noqa: F401 - it prepares its own
from metrics.catalogue import (
    CATALOGUE,
    REGISTRY,
    Entry,
    prepare_asset,
    prepare_network,
    prepare_stage,
)
from ops.grafana.build import dashboard_json
from ops.grafana.panels import DASHBOARDS, Dashboard
from ops.manual import MANUAL, with_tables

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "ops/prometheus/rules").glob("*.yml"))

# What Prometheus adds to each sample of a target.
TARGET_LABELS = {"job", "instance", "role"}
# Exported for every process by prometheus_client, or by Prometheus itself.
FOREIGN = {
    "up",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
}


@dataclass(frozen=True)
class Use:
    """One metric as an expression uses it."""

    metric: str
    matched: frozenset[str]


def _alerts() -> list[dict[str, Any]]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def _dashboards() -> dict[str, dict[str, Any]]:
    files = (ROOT / "ops/grafana/dashboards").glob("*.json")
    return {file.stem: json.loads(file.read_text()) for file in files}


def _panel_expressions(dashboard: dict[str, Any]) -> list[str]:
    """The expressions with Grafana's variables filled in as Grafana would."""
    texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [text.replace("$__rate_interval", "1m").replace("$network", ".*") for text in texts]


def _expressions() -> list[str]:
    from_panels = [e for board in _dashboards().values() for e in _panel_expressions(board)]
    return [alert["expr"] for alert in _alerts()] + from_panels


class _Reader:
    """Collects from a parsed expression the metrics it selects and the labels it groups by."""

    def __init__(self, expression: str) -> None:
        self.uses: list[Use] = []
        self.grouped: set[str] = set()
        self._read(promql_parser.parse(expression))

    def _read(self, node: object) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name
            names = frozenset(matcher.name for matcher in node.matchers.matchers)
            self.uses.append(Use(node.name, names))
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            self.grouped |= set(node.modifier.labels)
        for child in self._children(node):
            self._read(child)

    @staticmethod
    def _children(node: object) -> Iterator[object]:
        yield from getattr(node, "args", [])
        for part in ("expr", "lhs", "rhs"):
            if (child := getattr(node, part, None)) is not None:
                yield child


def _entry(metric: str) -> Entry | None:
    plain = re.sub(r"_(bucket|count|sum)$", "", metric)
    if plain != metric and plain in CATALOGUE and CATALOGUE[plain].kind == "histogram":
        return CATALOGUE[plain]
    entry = CATALOGUE.get(metric)
    return entry if entry and entry.kind != "histogram" else None


def _labels(metric: str) -> set[str]:
    entry = _entry(metric)
    labels = set(entry.labels) if entry else set()
    return labels | TARGET_LABELS | ({"le"} if metric.endswith("_bucket") else set())


def test_there_are_alerts_and_dashboards_to_check() -> None:
    assert len(_alerts()) > 25
    assert len(_dashboards()) == len(DASHBOARDS)
    assert len(_expressions()) > 70


@pytest.mark.parametrize("expression", _expressions())
def test_an_expression_uses_only_metrics_and_labels_of_the_catalogue(expression: str) -> None:
    reader = _Reader(expression)
    assert reader.uses
    for use in reader.uses:
        assert _entry(use.metric) or use.metric in FOREIGN, use.metric
        assert use.matched <= _labels(use.metric)
    assert reader.grouped <= set().union(*(_labels(use.metric) for use in reader.uses))


@pytest.mark.parametrize("expression", _expressions())
def test_shared_metrics_are_never_summed_over_workers(expression: str) -> None:
    """During a take-over two workers show them: `max` or `absent` must come first."""
    for name in (entry.name for entry in CATALOGUE.values() if entry.shared):
        for found in re.finditer(rf"\b{name}\b", expression):
            before = expression[: found.start()]
            assert re.search(r"(max( by \([^)]*\))? ?\(|absent\()$", before), expression


@pytest.mark.parametrize("unknown", ["millrace_no_such_total", "millrace_stage_seconds", "go_info"])
def test_a_metric_that_is_not_exported_is_found_out(unknown: str) -> None:
    (use,) = _Reader(f"sum by (stage) (rate({unknown}[5m]))").uses
    assert _entry(use.metric) is None
    assert use.metric not in FOREIGN


@pytest.mark.parametrize("alert", _alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_says_what_happened_what_it_means_and_what_to_do(alert: dict[str, Any]) -> None:
    assert set(alert["annotations"]) == {"summary", "meaning", "action"}
    assert alert["labels"]["severity"] in {"warning", "critical"}
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
    metrics = {use.metric for use in _Reader(alert["expr"]).uses}
    assert named <= set().union(*(_labels(metric) for metric in metrics))


def test_what_an_alert_counts_is_shown_before_it_happens() -> None:
    """An increase of 1 in a series that was not there before is none to Prometheus."""
    prepare_network("eip155:1")
    prepare_asset("eip155:1", "ETH")
    prepare_stage("some_stage")
    shown = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    matches = (re.findall(r"(?:increase|rate)\((\w+)", alert["expr"]) for alert in _alerts())
    counted = {name for names in matches for name in names if not name.endswith("_bucket")}
    counted.remove("millrace_rpc_request_seconds_count")  # who is down fails again and again
    assert "millrace_withdrawal_doubts_total" in counted
    assert counted - shown == set()


def test_every_alert_is_tried_on_its_trouble() -> None:
    tried = (ROOT / "ops/prometheus/tests/alerts.yml").read_text()
    assert [a["alert"] for a in _alerts() if not re.search(rf"\b{a['alert']}\b", tried)] == []


def test_alert_names_are_unique() -> None:
    names = [alert["alert"] for alert in _alerts()]
    assert len(names) == len(set(names))


def test_the_manual_has_every_metric_and_alert_as_it_is() -> None:
    """After a change of the catalogue or a rule: python -m ops.manual."""
    manual = MANUAL.read_text()
    assert manual == with_tables(manual)
    assert all(f"| `{name}` |" in manual for name in CATALOGUE)
    assert all(f"| {alert['alert']} |" in manual for alert in _alerts())


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_the_dashboards_are_what_panels_say(dashboard: Dashboard) -> None:
    """After a change of panels.py: python -m ops.grafana.build."""
    committed = ROOT / f"ops/grafana/dashboards/{dashboard.uid}.json"
    assert committed.read_text() == dashboard_json(dashboard)


@pytest.mark.parametrize("uid", _dashboards())
def test_panels_do_not_overlap_and_fit_the_page(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _dashboards()[uid]["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_every_metric_is_looked_at_by_an_alert_or_a_dashboard() -> None:
    used = {_entry(use.metric) for text in _expressions() for use in _Reader(text).uses}
    assert {entry.name for entry in CATALOGUE.values() if entry not in used} == set()


def test_dashboards_are_provisioned_with_their_data_source() -> None:
    folder = ROOT / "ops/grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards/millrace.yml").read_text())["providers"]
    assert (source["type"], provider["type"]) == ("prometheus", "file")
    variables = [board["templating"]["list"][0] for board in _dashboards().values()]
    assert {variable["query"] for variable in variables} == {source["type"]}


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on PATH (Debian: prometheus)")
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", *map(str, RULES)],
        ["test", "rules", str(ROOT / "ops/prometheus/tests/alerts.yml")],
        ["check", "config", "--syntax-only", str(ROOT / "ops/prometheus/prometheus.yml")],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_promtool_accepts_the_rules(arguments: list[str]) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
