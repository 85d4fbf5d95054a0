"""A report as one page that needs nothing else: light and dark, curves that tell values. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from math import ceil, log10
from pathlib import Path
from typing import NamedTuple

from loadtest.report import SHARES, Mark, Report, generator_gave_way, told_of

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 12, 26
COLOURS = 7  # in the style sheet
STEPS = (1, 2, 5, 10)

HERE = Path(__file__)


class Curve(NamedTuple):
    """One line of a chart; None where there is no value."""

    name: str
    values: Sequence[float | None]


def page(given: Report) -> str:
    """Return the page."""
    style, script = (HERE.with_suffix(suffix).read_text() for suffix in (".css", ".js"))
    title = f"Load profile {given.name}"
    verdict = "holds" if given.holds else "does not hold"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}: {verdict}</title><style>{style}</style></head><body><main>",
        f'<h1>{escape(title)}<span class="verdict {"ok" if given.holds else "no"}">{verdict}',
        "</span></h1>",
        f'<div class="soft">{escape(given.profile.words)}</div>',
    ]
    if generator_gave_way(given):
        parts.append(
            '<div class="warning">The generator was the bottleneck: '
            "the figures say nothing of the pipeline.</div>"
        )
    parts += [tiles(given), f'<div class="grid">{charts(given)}', found(given), "</div>"]
    parts.append(
        f"<p><small>{escape(' · '.join(told_of(given)))}. Latencies count from the moment at "
        "which a record was due, whether or not it could be sent then; the shaded warm-up does not "
        "count. Every record is told by its key and timestamp, and accounted for.</small></p>"
    )
    return "\n".join([*parts, f"</main><script>{script}</script></body></html>", ""])


def tiles(given: Report) -> str:
    """Return the figures that matter most."""
    end_to_end, account = given.latencies["end_to_end"], given.account
    shown = [
        ("records, each accounted for", f"{account.seen:,}"),
        (
            "lost · twice · out of order",
            f"{account.lost:,} · {account.duplicates:,} · {account.reordered:,}",
        ),
        ("end to end, p50", milliseconds(end_to_end["p50"])),
        ("end to end, p99", milliseconds(end_to_end["p99"])),
        ("drained after the end", f"{given.drain_seconds} s"),
    ]
    if given.cpu_us is not None:
        shown.append(("CPU of processors a record", f"{given.cpu_us:,.0f} µs"))
    if given.saturation is not None:
        shown.insert(0, ("highest rate that held", f"{given.saturation.best:,.0f}/s"))
    each = "".join(
        f'<div class="card tile"><b>{escape(value)}</b><small>{escape(words)}</small></div>'
        for words, value in shown
    )
    return f'<div class="tiles">{each}</div>'


def charts(given: Report) -> str:
    """Return all curves."""
    moments = given.moments
    xs: list[float] = [moment.at for moment in moments]
    end = max([*xs, *(each.at for each in given.samples), 1])
    frame = Frame(end, given.profile.warm_up, given.marks)
    rates = [
        Curve("offered", [each.offered for each in moments]),
        Curve("sent", [each.sent for each in moments]),
        Curve("acknowledged", [each.acked for each in moments]),
        Curve("processed", [each.processed for each in moments]),
    ]
    if any(each.dead for each in moments):
        rates.append(Curve("dead letters", [each.dead for each in moments]))
    behind = [Curve("sent and not yet seen", [each.behind for each in moments])]
    latency = [
        *(
            Curve(name, [each.latency[name] for each in moments])
            for name in SHARES
            if name != "max"
        ),
        Curve("acknowledged, p99", [each.ack_p99 for each in moments]),
        Curve("send delay, p99", [each.late_p99 for each in moments]),
    ]
    looked_at, cores, memory = used(given)
    return "\n".join(
        [
            chart("Records per second", frame, xs, rates),
            chart(
                "Latency from the intended time to the sight of the output",
                frame,
                xs,
                latency,
                " ms",
                log=True,
            ),
            chart("Records on their way", frame, xs, behind),
            chart("CPU", frame, looked_at, cores, " cores"),
            chart("Memory", frame, looked_at, memory, " MiB"),
        ]
    )


def used(given: Report) -> tuple[list[float], list[Curve], list[Curve]]:
    """Return when processes were looked at, and their curves of CPU and memory, by name."""
    cores: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    memory: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for each in given.samples:
        name = "generator" if each.name.startswith("generator") else each.name
        cores[name][int(each.at)] += each.cores
        memory[name][int(each.at)] += each.mib
    at = sorted({second for column in cores.values() for second in column if second >= 0})

    def curves(columns: Mapping[str, Mapping[int, float]]) -> list[Curve]:
        return [Curve(name, [column.get(each) for each in at]) for name, column in columns.items()]

    return [float(each) for each in at], curves(cores), curves(memory)


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


def chart(
    title: str,
    frame: Frame,
    xs: Sequence[float],
    curves: Sequence[Curve],
    unit: str = "",
    *,
    log: bool = False,
) -> str:
    """Return one chart, with its legend."""
    scale = scale_of(curves, log=log)
    base = HEIGHT - BOTTOM
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
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
    parts.append(f'<line class="hair" y1="{TOP}" y2="{base}"/></svg>')
    legend = "".join(
        f'<div><i style="background:var(--c{number % COLOURS})"></i>{escape(curve.name)}'
        "<span></span></div>"
        for number, curve in enumerate(curves)
    )
    data = {
        "names": [curve.name for curve in curves],
        "xs": list(xs),
        "rows": [
            [None if value is None else round(value, 2) for value in curve.values]
            for curve in curves
        ],
        "x0": 0,
        "dx": frame.end,
        "left": LEFT,
        "width": WIDTH - LEFT - RIGHT,
        "unit": unit,
    }
    shown = escape(json.dumps(data, separators=(",", ":")), quote=True)
    return (
        f'<section class="card" data-curves="{shown}"><h2>{escape(title)} '
        f'<small class="when"></small></h2>{"".join(parts)}'
        f'<div class="legend">{legend}</div></section>'
    )


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


def found(given: Report) -> str:
    """Return what was held against what was asked, and all percentiles."""
    rows = "".join(
        f"<tr><td>{escape(each.words)}</td><td>{escape(each.value)}</td><td>{escape(each.limit)}</td>"
        f'<td class="{"ok" if each.holds else "no"}">{"ok" if each.holds else "no"}</td></tr>'
        for each in given.findings
    )
    heads = {"delay": "send delay", "ack": "acknowledged", "end_to_end": "end to end"}
    shares = "".join(f"<th>{name}</th>" for name in SHARES)
    latencies = "".join(
        f"<tr><td>{words}</td>"
        + "".join(f"<td>{milliseconds(given.latencies[kind][name])}</td>" for name in SHARES)
        + "</tr>"
        for kind, words in heads.items()
    )
    tables = (
        '<section class="card"><h2>What was asked</h2><table><tr><th>what</th><th>seen</th>'
        f'<th>asked</th><th></th></tr>{rows}</table><h2 style="margin-top:16px">From the intended '
        f"time</h2><table><tr><th></th>{shares}</tr>{latencies}</table></section>"
    )
    if given.growth:
        grown = "".join(
            f"<tr><td>{escape(name)}</td><td>{line.per_unit:+.2f}</td>"
            f"<td>± {line.confidence:.2f}</td></tr>"
            for name, line in given.growth.items()
        )
        tables += (
            '<section class="card"><h2>Growth per hour</h2><table><tr><th>what</th><th>slope</th>'
            f"<th>95 % confidence</th></tr>{grown}</table></section>"
        )
    if given.saturation is not None:
        trials = "".join(
            f"<tr><td>{each.rate:,.0f}/s</td><td>{escape(each.cause or 'holds')}</td></tr>"
            for each in given.saturation.trials
        )
        tables += (
            '<section class="card"><h2>The search</h2><table><tr><th>rate</th><th></th></tr>'
            f"{trials}</table></section>"
        )
    return tables


def milliseconds(value: int | None) -> str:
    """Return a latency for people."""
    return "-" if value is None else f"{value:,} ms"


def short(value: float) -> str:
    """Return a number beside an axis."""
    if value >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    return f"{value / 1_000:g}k" if value >= 10_000 else f"{value:,g}"
