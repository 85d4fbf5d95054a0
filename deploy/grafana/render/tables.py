"""Draws single numbers, tables of numbers, and rows of cells over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.grafana.render import drawing
from deploy.grafana.render.data import Series, Stretch
from deploy.grafana.render.drawing import BORDER, FAINT, TEXT, Box
from deploy.grafana.render.units import written

ROW = 25.0
HEAD_COLOUR = "#6E9FFF"
CELLS = 40  # most in a row of states
Rows = Sequence[tuple[Mapping[str, str], float]]


def colour_of(steps: Sequence[Mapping[str, Any]], value: float) -> str:
    """Return the colour that the thresholds give to a value."""
    found = str(steps[0]["color"])
    for step in steps[1:]:
        if value >= step["value"]:
            found = str(step["color"])
    return found


def number(panel: Mapping[str, Any], rows: Rows, box: Box) -> list[str]:
    """Return one large number, or what is shown where there is none."""
    defaults = panel["fieldConfig"]["defaults"]
    value = rows[0][1] if rows else math.nan
    here = math.isfinite(value)
    loud = here and panel["options"]["colorMode"] == "background"
    colour = colour_of(defaults["thresholds"]["steps"], value) if here else FAINT
    shown = written(value, defaults["unit"], defaults.get("decimals"))
    shown = shown if here else str(defaults.get("noValue", "no data"))
    size = min(34.0, (box.width - 16) / (len(shown) * 0.58))
    middle, ink = box.x + box.width / 2, "#ffffff" if loud else colour
    ground = drawing.rectangle(box.inside(1, 30, 1, 1), colour, opacity=0.85, radius=2)
    text = drawing.text(
        middle, box.y + 98, shown, size=size, colour=ink, anchor="middle", weight=600
    )
    return [ground, text] if loud else [text]


def table(panel: Mapping[str, Any], answers: Mapping[str, Rows], box: Box) -> list[str]:
    """Return a table of the answers by the query's letter, merged by their labels."""
    (organize,) = (each["options"] for each in panel["transformations"] if each["id"] == "organize")
    order = organize["indexByName"]
    heads = {name: organize["renameByName"][name] for name in sorted(order, key=order.__getitem__)}
    single = len(panel["targets"]) == 1
    merged: dict[tuple[str, ...], dict[str, float | str]] = {}
    labels = [name for name in heads if not name.startswith("Value")]
    for ref, rows in answers.items():
        for found, value in rows:
            key = tuple(found.get(name, "") for name in labels)
            cells = merged.setdefault(key, dict(zip(labels, key, strict=True)))
            cells["Value" if single else f"Value #{ref}"] = value
    by = panel["options"]["sortBy"][0]["displayName"]
    (sorted_by,) = (name for name, head in heads.items() if head == by)
    lines = sorted(
        merged.values(),
        key=lambda cells: (_sortable(cells.get(sorted_by)), *(str(cells[name]) for name in labels)),
    )
    used = [name for name in heads if any(str(cells.get(name, "")) for cells in lines)]
    return _rows(panel, lines, {name: heads[name] for name in used}, box)


def _sortable(value: float | str | None) -> tuple[float, str]:
    """Return what sorts large numbers first, and words by the alphabet."""
    return (-value, "") if isinstance(value, float) else (math.inf, value or "")


def _rows(
    panel: Mapping[str, Any],
    lines: Sequence[Mapping[str, float | str]],
    heads: Mapping[str, str],
    box: Box,
) -> list[str]:
    if not lines:
        none = str(panel["fieldConfig"]["defaults"].get("noValue", "no data"))
        middle = box.x + box.width / 2
        return [drawing.text(middle, box.y + 80, none, size=18, colour=FAINT, anchor="middle")]
    looks = _looks(panel)
    shown = {
        name: [_written(cells.get(name, ""), looks.get(head, {})) for cells in lines]
        for name, head in heads.items()
    }
    widths = _widths({name: [head, *shown[name]] for name, head in heads.items()}, box.width - 16)
    drawn, x = [], box.x + 8
    most = int((box.height - 60) / ROW)
    for name, head in heads.items():
        y, room = box.y + 56, widths[name]
        drawn.append(drawing.text(x + 6, y - 8, head, size=12, colour=HEAD_COLOUR, room=room - 6))
        for cells, words in zip(lines[:most], shown[name], strict=False):
            value, look = cells.get(name), looks.get(head, {})
            ink = TEXT
            if isinstance(value, float) and "thresholds" in look:
                colour = colour_of(look["thresholds"]["steps"], value)
                place = Box(x, y, room, ROW).inside(1, 1, 1, 1)
                drawn.append(drawing.rectangle(place, colour, opacity=0.8))
                ink = "#ffffff"
            drawn.append(drawing.text(x + 6, y + 17, words, size=12, colour=ink, room=room - 6))
            y += ROW
            drawn.append(drawing.line(x, y, x + room, y, BORDER))
        x += room
    return drawn


def _written(value: float | str, look: Mapping[str, Any]) -> str:
    return written(value, look["unit"]) if isinstance(value, float) else value


def _looks(panel: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return unit and thresholds of each column, by its head."""
    return {
        override["matcher"]["options"]: {
            given["id"]: given["value"] for given in override["properties"]
        }
        for override in panel["fieldConfig"]["overrides"]
    }


def _widths(written_out: Mapping[str, Sequence[str]], room: float) -> dict[str, float]:
    """Share the width out by what stands in the columns, heads included."""
    longest = {name: max(map(len, cells)) + 2 for name, cells in written_out.items()}
    everything = sum(longest.values())
    return {name: room * length / everything for name, length in longest.items()}


def states(
    panel: Mapping[str, Any], series: Sequence[Series], stretch: Stretch, box: Box
) -> list[str]:
    """Return a row of coloured cells for each curve."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    longest = max((len(each.name) for each in series), default=1)
    left = min(box.width * 0.4, longest * 11 * drawing.WIDTH_OF_LETTER + 16)
    plot = box.inside(left, 36, 10, 30)
    high = plot.height / max(1, len(series))
    wide, length = plot.width / CELLS, (stretch.end - stretch.start) / CELLS
    drawn = []
    for row, each in enumerate(series):
        y = plot.y + row * high
        drawn.append(
            drawing.text(
                plot.x - 6,
                y + high / 2 + 4,
                each.name,
                size=11,
                colour=FAINT,
                anchor="end",
                room=left,
            )
        )
        for cell in range(CELLS):
            since = stretch.start + length * cell
            within = [value for at, value in each.points if since <= at < since + length]
            values = [value for value in within if math.isfinite(value)]
            if values:
                place = Box(plot.x + cell * wide, y, wide, high).inside(0.7, 1.5, 0.7, 1.5)
                drawn.append(drawing.rectangle(place, colour_of(steps, values[-1]), opacity=0.85))
    x = plot.x
    for step in steps:
        below = step.get("value") is None
        name = "less" if below else f"from {written(step['value'], unit)}"
        y = plot.y + plot.height + 18
        drawn += [
            drawing.rectangle(Box(x, y - 8, 12, 8), step["color"], radius=2),
            drawing.text(x + 17, y, name, size=11, colour=FAINT),
        ]
        x += 34 + len(name) * 6.5
    return drawn
