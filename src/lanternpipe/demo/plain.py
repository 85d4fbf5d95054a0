"""The demo in plain text: a line a second, a summary, and the JSON for programs. Pure."""

from __future__ import annotations

import io
import json

from rich.console import Console

from lanternpipe.demo import text, trace_tree
from lanternpipe.demo.followed_panels import trace_table
from lanternpipe.demo.following import Followed
from lanternpipe.demo.state import Figures, State
from lanternpipe.ops import journey
from lanternpipe.ops.journey_tree import as_tree

TRACE_COLUMNS = 120
WHOLE_LINES = 10_000  # columns: lines that are whole can be searched


def line(state: State) -> str:
    """Return one moment as a line."""
    figures, flows = state.figures, state.flows
    if not state.flowing:
        return f"{state.elapsed:5.1f} s  {state.status}; {text.records(figures.produced)} in"
    return (
        f"{state.elapsed:5.1f} s  {figures.produced:,} in ({text.rate(flows.incoming.rate)}), "
        f"{figures.processed:,} processed, {figures.filtered:,} filtered, "
        f"{figures.dead_lettered:,} dead letters, {max(0, figures.on_the_way):,} on the way; "
        f"p50 {text.milliseconds(state.p50_ms)}, p99 {text.milliseconds(state.p99_ms)}, "
        f"lag {state.lag_records:,}"
    )


def summary(figures: Figures) -> str:
    """Return how it ended."""
    lost = figures.unaccounted
    verdict = "every record is accounted for"
    if lost > 0:
        verdict = f"{text.records(lost)} LOST"
    elif lost < 0:
        verdict = f"{text.records(-lost)} TOO MANY"
    unfinished = f" + {figures.in_flight:,} not finished" if figures.in_flight else ""
    return (
        f"{figures.produced:,} records in = {figures.processed:,} processed + "
        f"{figures.filtered:,} filtered + {figures.dead_lettered:,} dead letters{unfinished}\n"
        f"{verdict}; end to end p50 {text.milliseconds(figures.p50_ms)}, "
        f"p99 {text.milliseconds(figures.p99_ms)}; {text.rate(figures.records_per_second)}"
    )


def story(followed: Followed) -> str:
    """Return the trace and the journey of the record that is followed; nothing if there is none."""
    console = Console(
        width=WHOLE_LINES, file=io.StringIO(), color_system=None, legacy_windows=False
    )
    with console.capture() as capture:
        if (trace := followed.trace) is not None:
            remark = f"; {text.readable(trace.remark.encode(), 200)}" if trace.remark else ""
            took = text.milliseconds(trace.milliseconds)
            console.print()
            console.print(f"trace {trace.trace_id}, {took}{remark}", markup=False)
            console.print(trace_table(trace, TRACE_COLUMNS))
        if followed.journey is not None:
            console.print()
            title = f"its way, as `lanternpipe journey {followed.journey.event}` draws it"
            console.print(title, markup=False)
            console.print(as_tree(followed.journey))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    return "\n".join([*lines, "", ""]) if lines else ""


def encodable(content: str, encoding: str | None) -> str:
    """Return text as it can be written in an encoding: a pipe may take ASCII only."""
    known = encoding or "utf-8"
    return content.encode(known, "replace").decode(known)


def as_json(figures: Figures, followed: Followed) -> str:
    """Return the account, and the record that is followed, for programs."""
    trace, way = followed.trace, followed.journey
    return json.dumps(
        {
            "produced": figures.produced,
            "processed": figures.processed,
            "filtered": figures.filtered,
            "dead_lettered": figures.dead_lettered,
            "in_flight": figures.in_flight,
            "unaccounted": figures.unaccounted,
            "p50_ms": figures.p50_ms,
            "p99_ms": figures.p99_ms,
            "records_per_second": round(figures.records_per_second, 1),
            "trace": None if trace is None else trace_tree.as_json(trace),
            "journey": None if way is None else journey.as_json(way),
        }
    )
