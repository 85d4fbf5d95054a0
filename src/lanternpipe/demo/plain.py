"""The demo in plain text: a line a second, a summary, and the JSON for programs. Pure."""

from __future__ import annotations

import json

from lanternpipe.demo import text
from lanternpipe.demo.state import Figures, State


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


def as_json(figures: Figures) -> str:
    """Return the account for programs."""
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
        }
    )
