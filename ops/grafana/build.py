"""Write ops/grafana/dashboards/*.json from panels.py: `python -m ops.grafana.build`.

The JSON is Grafana's dashboard model, schemaVersion 39, which every later version migrates.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops.grafana.panels import DASHBOARDS, Dashboard, Panel

FOLDER = Path(__file__).parent / "dashboards"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_STAT_WIDTH, _STAT_HEIGHT, _GRAPH_WIDTH, _GRAPH_HEIGHT, _ROW = 4, 4, 12, 8, 24


def _place(panels: tuple[Panel, ...]) -> list[dict[str, int]]:
    """Lay the panels out in rows from left to right, numbers narrow and graphs half a row wide."""
    places, x, y, row_height = [], 0, 0, 0
    for panel in panels:
        width, height = (_STAT_WIDTH, _STAT_HEIGHT) if panel.stat else (_GRAPH_WIDTH, _GRAPH_HEIGHT)
        if x + width > _ROW:
            x, y, row_height = 0, y + row_height, 0
        places.append({"x": x, "y": y, "w": width, "h": height})
        x, row_height = x + width, max(row_height, height)
    return places


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
    red_above_0 = {"thresholds": {"mode": "absolute", "steps": steps}} if panel.stat else {}
    return {"unit": panel.unit, "min": 0 if panel.from_zero else None, **red_above_0}


def _panel_json(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + i), "expr": expr, "legendFormat": legend, "datasource": _SOURCE}
        for i, (expr, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "targets": targets,
    }


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    network = {
        "name": "network",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(millrace_head_height, network)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
    return [source, network] if dashboard.by_network else [source]


def dashboard_json(dashboard: Dashboard) -> str:
    """Return one dashboard as Grafana reads it."""
    placed = zip(dashboard.panels, _place(dashboard.panels), strict=True)
    model = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["millrace"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [
            {"type": "dashboards", "tags": ["millrace"], "title": "Millrace", "asDropdown": True}
        ],
        "templating": {"list": _variables(dashboard)},
        "panels": [_panel_json(n, panel, place) for n, (panel, place) in enumerate(placed, 1)],
    }
    return json.dumps(model, indent=2) + "\n"


def main() -> None:
    """Write every dashboard."""
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(dashboard_json(dashboard))


if __name__ == "__main__":
    main()
