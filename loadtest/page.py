"""A report as one page that needs nothing else: light and dark, curves that tell values. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

from loadtest.curves import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Curve, Frame, plot
from loadtest.report import (
    SHARES,
    Report,
    generator_gave_way,
    told_of,
    verdict_of,
    warning,
)

HERE = Path(__file__)


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
        parts.append(f'<div class="warning">{escape(warning(given))}</div>')
    frame = frame_of(given)
    drawn = [chart(frame, one) for one in charts_of(given)]
    parts += [tiles(given), '<div class="grid">', *drawn, found(given), "</div>"]
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


class Chart(NamedTuple):
    """What one chart shows."""

    title: str
    xs: list[float]
    curves: list[Curve]
    unit: str = ""
    log: bool = False


def frame_of(given: Report) -> Frame:
    """Return what all charts share."""
    moments, looks = (moment.at for moment in given.moments), (each.at for each in given.samples)
    return Frame(max([*moments, *looks, 1]), given.profile.warm_up, given.marks)


def charts_of(given: Report) -> list[Chart]:
    """Return what is drawn, the most important first."""
    moments = given.moments
    xs: list[float] = [moment.at for moment in moments]
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
    late = "Latency from the intended time to the sight of the output"
    return [
        Chart("Records per second", xs, rates),
        Chart(late, xs, latency, " ms", log=True),
        Chart("Records on their way", xs, behind),
        Chart("CPU", looked_at, cores, " cores"),
        Chart("Memory", looked_at, memory, " MiB"),
    ]


def picture(given: Report) -> str:
    """Return rates and latencies as one picture, for a document or a pull request."""
    frame, shown = frame_of(given), charts_of(given)[:2]
    high = HEIGHT + 50
    title = f"Load profile {given.name}"
    style = HERE.with_suffix(".css").read_text()
    frame_box = f'viewBox="0 0 {WIDTH} {high * len(shown)}" aria-label="{escape(title)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {frame_box}>',
        f"<style>{style}</style>",
    ]
    for number, one in enumerate(shown):
        parts.append(f'<g transform="translate(0 {number * high + 22})">')
        parts.append(f'<text class="title" x="8" y="-6">{escape(one.title)}</text>')
        parts += plot(frame, one.xs, one.curves, log=one.log)
        x = LEFT
        for at, curve in enumerate(one.curves):
            parts.append(
                f'<rect x="{x}" y="{HEIGHT + 5}" width="12" height="3" fill="var(--c{at})"/>'
                f'<text x="{x + 16}" y="{HEIGHT + 11}">{escape(curve.name)}</text>'
            )
            x += 34 + 6 * len(curve.name)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


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


def chart(frame: Frame, one: Chart) -> str:
    """Return one chart, with its legend."""
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(one.title)}">']
    parts += plot(frame, one.xs, one.curves, log=one.log)
    parts.append(f'<line class="hair" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/></svg>')
    legend = "".join(
        f'<div><i style="background:var(--c{number % COLOURS})"></i>{escape(curve.name)}'
        "<span></span></div>"
        for number, curve in enumerate(one.curves)
    )
    data = {
        "names": [curve.name for curve in one.curves],
        "xs": one.xs,
        "rows": [
            [None if value is None else round(value, 2) for value in curve.values]
            for curve in one.curves
        ],
        "x0": 0,
        "dx": frame.end,
        "left": LEFT,
        "width": WIDTH - LEFT - RIGHT,
        "unit": one.unit,
    }
    shown = escape(json.dumps(data, separators=(",", ":")), quote=True)
    return (
        f'<section class="card" data-curves="{shown}"><h2>{escape(one.title)} '
        f'<small class="when"></small></h2>{"".join(parts)}'
        f'<div class="legend">{legend}</div></section>'
    )


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
            f"<tr><td>{each.rate:,.0f}/s</td><td>{each.sent:,.0f}/s</td><td>{each.seconds} s</td>"
            f"<td>{milliseconds(each.p99_ms)}</td><td>{escape(each.cause or 'holds')}</td></tr>"
            for each in given.saturation.trials
        )
        tables += (
            f'<section class="card"><h2>The search</h2><p>{escape(verdict_of(given.saturation))}.'
            "</p><table><tr><th>asked</th><th>sent</th><th>for</th><th>p99</th><th></th></tr>"
            f"{trials}</table></section>"
        )
    return tables


def milliseconds(value: int | None) -> str:
    """Return a latency for people."""
    return "-" if value is None else f"{value:,} ms"
