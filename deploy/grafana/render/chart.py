"""Draws curves over time: axes, areas, thresholds, legend, and marks of what happened."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

from deploy.grafana.render import drawing
from deploy.grafana.render.data import Series, Stretch
from deploy.grafana.render.drawing import FAINT, GRID, PALETTE, Box
from deploy.grafana.render.units import written

ROW = 17.0  # of a legend
MOST_ROWS = 8
GAP = 3.0  # of steps without a point, from which on a curve is broken
TICKS = (1, 2, 5, 10)
TIMELY = (15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)
MARKED = (30, 60, 120, 300, 600, 1_800, 3_600, 7_200)  # seconds between two times on the axis


class Axis(NamedTuple):
    """From where to where a panel goes, up and along."""

    box: Box
    stretch: Stretch
    low: float
    high: float

    def x(self, at: float) -> float:
        """Return where a time is."""
        share = (at - self.stretch.start) / (self.stretch.end - self.stretch.start)
        return self.box.x + share * self.box.width

    def y(self, value: float) -> float:
        """Return where a value is."""
        share = (value - self.low) / (self.high - self.low)
        return self.box.y + self.box.height * (1 - min(1.0, max(0.0, share)))


def chart(
    panel: Mapping[str, Any],
    series: Sequence[Series],
    stretch: Stretch,
    box: Box,
    marks: Sequence[tuple[float, str]],
) -> list[str]:
    """Return the picture of a panel of curves."""
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    unit, colours = defaults["unit"], colours_of(panel, series)
    rows = min(MOST_ROWS, len(series))
    plot = box.inside(58, 6, 8, 24 + ROW * (rows + 1))
    stacked = custom.get("stacking", {}).get("mode", "none") != "none"
    steps = [step for step in defaults["thresholds"]["steps"] if step.get("value") is not None]
    tops = _stacked(series) if stacked else [each.values() for each in series]
    values = [value for top in tops for value in top] or [0.0]
    low = min(defaults.get("min", values[0]), *values)
    high = defaults.get("max", max(values))
    ticks = _ticks(low, high if high > low else low + 1, timely=unit == "s")
    axis = Axis(plot, stretch, min(low, ticks[0]), max(ticks[-1], high))
    drawn = [*_grid(axis, ticks, unit)]
    drawn += [
        drawing.line(axis.x(at), plot.y, axis.x(at), plot.y + plot.height, colour, dash="3 3")
        for at, colour in marks
        if stretch.start <= at <= stretch.end
    ]
    if custom.get("drawStyle") == "bars":
        drawn += _bars(axis, series, colours)
    elif stacked:
        drawn += _areas(axis, series, colours)
    else:
        fill = custom.get("fillOpacity", 0) / 100
        for each, colour in zip(series, colours, strict=True):
            for piece in _pieces(each, stretch):
                points = [(axis.x(at), axis.y(value)) for at, value in piece]
                floor = [(x, axis.y(max(0.0, axis.low))) for x, _ in points]
                drawn += [drawing.area(points, floor, colour, fill), drawing.curve(points, colour)]
    if custom.get("thresholdsStyle", {}).get("mode", "off") != "off":
        drawn += [
            drawing.line(
                plot.x,
                axis.y(step["value"]),
                plot.x + plot.width,
                axis.y(step["value"]),
                step["color"],
                dash="6 4",
            )
            for step in steps
            if axis.low <= step["value"] <= axis.high
        ]
    legend = Box(box.x + 10, plot.y + plot.height + 24, box.width - 20, ROW * (rows + 1))
    return [*drawn, *_legend(legend, series[:rows], colours, unit)]


def colours_of(panel: Mapping[str, Any], series: Sequence[Series]) -> list[str]:
    """Return the colour of each curve: its own, or the next of the palette."""
    fixed = {}
    for override in panel["fieldConfig"].get("overrides", []):
        for given in override["properties"]:
            if given["id"] == "color" and "fixedColor" in given["value"]:
                fixed[override["matcher"]["options"]] = given["value"]["fixedColor"]
    others = iter(PALETTE * (1 + len(series) // len(PALETTE)))
    return [fixed.get(each.name) or next(others) for each in series]


def _grid(axis: Axis, ticks: Sequence[float], unit: str) -> list[str]:
    box, drawn = axis.box, []
    for tick in ticks:
        y = axis.y(tick)
        drawn += [
            drawing.line(box.x, y, box.x + box.width, y, GRID),
            drawing.text(
                box.x - 6, y + 4, written(tick, unit), size=11, colour=FAINT, anchor="end"
            ),
        ]
    length = axis.stretch.end - axis.stretch.start
    every = next(
        (each for each in (30, 60, 120, 300, 600, 1_800, 3_600) if length / each <= 6), 7_200
    )
    at = math.ceil(axis.stretch.start / every) * every
    while at <= axis.stretch.end:
        x = axis.x(at)
        clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S" if every < 60 else "%H:%M")
        drawn += [
            drawing.line(x, box.y, x, box.y + box.height, GRID),
            drawing.text(x, box.y + box.height + 15, clock, anchor="middle", size=11, colour=FAINT),
        ]
        at += every
    return drawn


def _ticks(low: float, high: float, *, timely: bool) -> list[float]:
    """Return round values from below the lowest to above the highest; minutes for times."""
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(each * power for each in TICKS if each * power >= raw)
    if timely and raw > TIMELY[0] / 2:
        step = next((each for each in TIMELY if each >= raw), step)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _pieces(series: Series, stretch: Stretch) -> list[list[tuple[float, float]]]:
    """Return the points of a curve, divided where some are missing."""
    pieces: list[list[tuple[float, float]]] = []
    before = -math.inf
    for at, value in series.points:
        if not math.isfinite(value):
            continue
        if at - before > GAP * stretch.step:
            pieces.append([])
        pieces[-1].append((at, value))
        before = at
    return pieces


def _stacked(series: Sequence[Series]) -> list[list[float]]:
    """Return the upper edge of each area, at the times of all."""
    sums: dict[float, float] = {}
    tops = []
    for each in series:
        for at, value in each.points:
            sums[at] = sums.get(at, 0.0) + (value if math.isfinite(value) else 0.0)
        tops.append(list(sums.values()))
    return tops


def _areas(axis: Axis, series: Sequence[Series], colours: Sequence[str]) -> list[str]:
    """Return areas upon each other, with holes where no curve has a point."""
    times = sorted({at for each in series for at, _ in each.points})
    pieces: list[list[float]] = []
    for at in times:
        if not pieces or at - pieces[-1][-1] > GAP * axis.stretch.step:
            pieces.append([])
        pieces[-1].append(at)
    below = dict.fromkeys(times, 0.0)
    drawn = []
    for each, colour in zip(series, colours, strict=True):
        above = {**below}
        for at, value in each.points:
            above[at] += value if math.isfinite(value) else 0.0
        for piece in pieces if above != below else ():  # a line of nothing would hide others
            upper = [(axis.x(at), axis.y(above[at])) for at in piece]
            lower = [(axis.x(at), axis.y(below[at])) for at in piece]
            drawn += [drawing.area(upper, lower, colour, 0.7), drawing.curve(upper, colour)]
        below = above
    return drawn


def _bars(axis: Axis, series: Sequence[Series], colours: Sequence[str]) -> list[str]:
    sums: dict[float, float] = {}
    wide = max(
        1.0, axis.box.width * axis.stretch.step / (axis.stretch.end - axis.stretch.start) - 1
    )
    drawn = []
    for each, colour in zip(series, colours, strict=True):
        for at, value in each.points:
            if math.isfinite(value) and value > 0:
                below = sums.get(at, 0.0)
                sums[at] = below + value
                top, bottom = axis.y(sums[at]), axis.y(below)
                box = Box(axis.x(at) - wide / 2, top, wide, bottom - top)
                drawn.append(drawing.rectangle(box, colour, opacity=0.8))
    return drawn


def _legend(box: Box, series: Sequence[Series], colours: Sequence[str], unit: str) -> list[str]:
    last, most = box.x + box.width - 80, box.x + box.width
    y = box.y + 11
    drawn = [
        drawing.text(box.x, y, "Name", size=11, colour="#6E9FFF"),
        drawing.text(last, y, "Last", size=11, colour="#6E9FFF", anchor="end"),
        drawing.text(most, y, "Max", size=11, colour="#6E9FFF", anchor="end"),
    ]
    for each, colour in zip(series, colours, strict=False):
        y += ROW
        drawn += [
            drawing.rectangle(Box(box.x, y - 6, 14, 4), colour, radius=2),
            drawing.text(box.x + 20, y, each.name, size=11.5, room=last - box.x - 85),
            drawing.text(last, y, written(each.last(), unit), size=11.5, anchor="end"),
            drawing.text(most, y, written(max(each.values()), unit), size=11.5, anchor="end"),
        ]
    return drawn


def starts(series: Sequence[Series], step: float) -> list[float]:
    """Return when each curve begins, and begins again: where marks of what happened belong."""
    found = []
    for each in series:
        times = [at for at, value in each.points if math.isfinite(value)]
        found += [times[0], *(b for a, b in pairwise(times) if b - a > GAP * step)]
    return sorted(set(found))
