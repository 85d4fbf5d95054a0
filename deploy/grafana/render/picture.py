"""Puts the panels of a dashboard into one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from deploy.grafana.render import drawing
from deploy.grafana.render.chart import chart, starts
from deploy.grafana.render.data import Ask, Stretch, cells, curves
from deploy.grafana.render.drawing import BACKGROUND, BORDER, FAINT, FONT, PANEL, TEXT, Box
from deploy.grafana.render.tables import number, states, table

COLUMN, LINE, GAP, HEAD = 58.0, 38.0, 8.0, 56.0
LABEL = "rendered from the dashboards' own queries; not a screenshot of Grafana"
DRAWN = ("stat", "timeseries", "status-history", "table")


def picture(dashboard: Mapping[str, Any], ask: Ask, stretch: Stretch, rows: int = 0) -> str:
    """Return a dashboard as SVG.

    Args:
        dashboard: As Grafana reads it.
        ask: Asks a Prometheus.
        stretch: What time is shown.
        rows: How many rows of panels, from the top; 0 for all.

    Raises:
        ValueError: It has a panel of a kind that is not drawn.
    """
    shown = _first(dashboard["panels"], rows)
    marks = _marks(dashboard, ask, stretch)
    width = 24 * COLUMN + GAP
    lowest = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in shown)
    height = HEAD + lowest * LINE + GAP
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}">',
        f"<title>{dashboard['title']}: {LABEL}</title>",
        drawing.rectangle(Box(0, 0, width, height), BACKGROUND),
        *_headline(dashboard, stretch, width),
    ]
    for panel in shown:
        drawn += _panel(panel, ask, stretch, marks)
    return "\n".join([*drawn, "</svg>", ""])


def _first(everything: Sequence[Mapping[str, Any]], rows: int) -> list[Mapping[str, Any]]:
    found, count = [], 0
    for each in everything:
        count += each["type"] == "row"
        if rows and count > rows:
            break
        found.append(each)
    return found


def _headline(dashboard: Mapping[str, Any], stretch: Stretch, width: float) -> list[str]:
    start, end = (datetime.fromtimestamp(at, UTC) for at in (stretch.start, stretch.end))
    times = f"{start:%H:%M:%S} to {end:%H:%M:%S} UTC"
    return [
        drawing.text(12, 25, dashboard["title"], size=20, weight=600),
        drawing.text(12, 45, dashboard["description"], size=13, colour=FAINT),
        drawing.text(width - 12, 25, times, size=13, anchor="end"),
        drawing.text(width - 12, 45, LABEL, size=12, colour=FAINT, anchor="end"),
    ]


def _marks(dashboard: Mapping[str, Any], ask: Ask, stretch: Stretch) -> list[tuple[float, str]]:
    """Return when the dashboard's annotations say that something has happened."""
    found = []
    for each in dashboard["annotations"]["list"]:
        if each["enable"]:
            series = curves(ask, {"expr": each["expr"]}, stretch)
            found += [(at, each["iconColor"]) for at in starts(series, stretch.step)]
    return found


def _panel(
    panel: Mapping[str, Any], ask: Ask, stretch: Stretch, marks: Sequence[tuple[float, str]]
) -> list[str]:
    place = panel["gridPos"]
    box = Box(
        GAP + place["x"] * COLUMN,
        HEAD + place["y"] * LINE,
        place["w"] * COLUMN - GAP,
        place["h"] * LINE - GAP,
    )
    if panel["type"] == "row":
        return [drawing.text(box.x + 4, box.y + 21, f"▾ {panel['title']}", size=15, weight=600)]
    if panel["type"] not in DRAWN:
        raise ValueError(f"a panel of a kind that is not drawn: {panel['type']}")
    frame = [
        drawing.rectangle(box, PANEL, border=BORDER, radius=3),
        drawing.text(
            box.x + 10,
            box.y + 20,
            panel["title"],
            size=13.5,
            colour=TEXT,
            weight=500,
            room=box.width - 16,
        ),
    ]
    if panel["type"] in {"table", "stat"}:
        answers = {each["refId"]: cells(ask, each, stretch) for each in panel["targets"]}
        if panel["type"] == "stat":
            return [*frame, *number(panel, answers["A"], box)]
        return [*frame, *table(panel, answers, box)]
    series = [each for target in panel["targets"] for each in curves(ask, target, stretch)]
    if panel["type"] == "status-history":
        return [*frame, *states(panel, series, stretch, box)]
    return [*frame, *chart(panel, series, stretch, box.inside(0, 30, 0, 4), marks)]
