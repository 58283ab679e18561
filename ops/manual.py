"""Write the tables of docs/operations.md: `python -m ops.manual`.

They come from the catalogue of metrics and from the rules of the alerts.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from metrics.catalogue import CATALOGUE, Entry

ROOT = Path(__file__).parents[1]
MANUAL = ROOT / "docs/operations.md"


def _metric_row(entry: Entry) -> str:
    kind = "shared gauge" if entry.shared else entry.kind
    labels = ", ".join(entry.labels) or "–"
    return f"| `{entry.name}` | {kind} | {labels} | {entry.meaning} |"


def _metrics_table() -> str:
    head = ["| Metric | Kind | Labels | Meaning |", "| --- | --- | --- | --- |"]
    return "\n".join(head + [_metric_row(entry) for entry in CATALOGUE.values()])


def _alert_rows(rules: Path) -> list[str]:
    groups = yaml.safe_load(rules.read_text())["groups"]
    return [
        f"| {rule['alert']} | {rule['labels']['severity']}"
        f" | {rule['annotations']['meaning']} | {rule['annotations']['action']} |"
        for group in groups
        for rule in group["rules"]
    ]


def _alerts_table() -> str:
    head = ["| Alert | Severity | What it means | What to do |", "| --- | --- | --- | --- |"]
    files = sorted((ROOT / "ops/prometheus/rules").glob("*.yml"))
    return "\n".join(head + [row for file in files for row in _alert_rows(file)])


def with_tables(manual: str) -> str:
    """Return the manual with its tables as they should be. Raises ValueError without its marks."""
    for name, table in (("metrics", _metrics_table()), ("alerts", _alerts_table())):
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = manual.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"the manual has no {start} … {end}")
        manual = f"{before}{start}\n{table}\n{end}{after}"
    return manual


if __name__ == "__main__":
    MANUAL.write_text(with_tables(MANUAL.read_text()))
