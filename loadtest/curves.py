"""Curves over the time of a run, as SVG whose colours the page or picture sets. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from math import ceil, log10
from typing import NamedTuple

from loadtest.report import Mark

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 12, 26
COLOURS = 7  # in the style sheet
STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


class Curve(NamedTuple):
    """One line of a chart; None where there is no value."""

    name: str
    values: Sequence[float | None]


class Frame(NamedTuple):
    """What all charts of a page share: the length of the run, its warm-up, and its marks."""

    end: float
    warm_up: float
    marks: Sequence[Mark]

    def x(self, seconds: float) -> float:
        """Return where a moment is."""
        return LEFT + (WIDTH - LEFT - RIGHT) * max(0.0, min(1.0, seconds / self.end))


class Scale(NamedTuple):
    """A vertical scale from ``low`` to ``high``, by powers of ten if ``log``."""

    low: float
    high: float
    log: bool

    def y(self, value: float) -> float:
        """Return where a value is."""
        if self.log:
            share = log10(max(value, self.low) / self.low) / log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        """Return the values that are written beside it."""
        if self.log:
            powers = round(log10(self.high / self.low))
            return [self.low * 10**power for power in range(powers + 1)]
        return [self.high * part / 4 for part in range(5)]


def scale_of(curves: Sequence[Curve], *, log: bool) -> Scale:
    """Return a scale that holds all values."""
    top = max((value for curve in curves for value in curve.values if value is not None), default=0)
    if log:
        return Scale(1, 10 ** max(1, ceil(log10(max(top, 10)))), log)
    unit = 10.0 ** int(log10(top)) if top >= 1 else 0.1
    return Scale(
        0, next((step * unit for step in STEPS if step * unit >= top), 10 * unit) or 1, log
    )


def plot(
    frame: Frame, xs: Sequence[float], curves: Sequence[Curve], *, log: bool = False
) -> list[str]:
    """Return the elements of one chart: axes, warm-up, marks, and curves."""
    scale = scale_of(curves, log=log)
    base = HEIGHT - BOTTOM
    parts = []
    if frame.warm_up:
        parts.append(
            f'<rect class="warm" x="{LEFT}" y="{TOP}" width="{frame.x(frame.warm_up) - LEFT:.1f}" '
            f'height="{base - TOP}"><title>warm-up</title></rect>'
        )
    for tick in scale.ticks():
        y = scale.y(tick)
        parts.append(
            f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    for part in range(5):
        at = frame.end * part / 4
        anchor = "end" if part == 4 else "middle"
        parts.append(
            f'<text x="{frame.x(at):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{at:,.0f} s'
            "</text>"
        )
    for mark in frame.marks:
        x = frame.x(mark.at)
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{base}"><title>'
            f"{escape(mark.words)}</title></line>"
            f'<text x="{x - 4:.1f}" y="{TOP + 9}" text-anchor="end">{escape(mark.words)}</text>'
        )
    for number, curve in enumerate(curves):
        parts += [
            f'<polyline class="curve" style="stroke:var(--c{number % COLOURS})" points="{points}"/>'
            for points in lines(frame, scale, xs, curve.values)
        ]
    return parts


def lines(
    frame: Frame, scale: Scale, xs: Sequence[float], values: Sequence[float | None]
) -> list[str]:
    """Return the points of a curve, broken where there is no value or no moment."""
    found: list[list[str]] = [[]]
    for (x, value), (next_x, _) in pairwise([*zip(xs, values, strict=True), (float("inf"), None)]):
        if value is not None:
            found[-1].append(f"{frame.x(x):.1f},{scale.y(value):.1f}")
        if value is None or next_x - x > 2.5:
            found.append([])
    return [" ".join(points) for points in found if points]


def short(value: float) -> str:
    """Return a number beside an axis."""
    if value >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    return f"{value / 1_000:g}k" if value >= 10_000 else f"{value:,g}"
