"""Throughput: how fast one process drains a backlog, and what CPU and memory that takes.

Contenders in turn, in several rounds: the yardstick (``yardstick.py``), ``lanternpipe process``
exactly once and at least once with metrics and logs, and exactly once with traces, too. Each gets a
fresh process, group and output topic, and drains the same records (``drain.py``). Ratios are taken
within a round, since the speed of a shared machine drifts. A cold broker is left out: one run
before the rounds does not count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from statistics import median

import msgspec

from benchmarks.broker import Broker, open_broker, preload
from benchmarks.chart import Bar, bar_chart
from benchmarks.contender import ROOT, Contender, processor, running
from benchmarks.drain import Run, calm_drain, drain
from benchmarks.machine import describe, require_linux

RESULTS = ROOT / "benchmarks/results/processor.json"
PICTURE = ROOT / "docs/images/benchmark-processor.svg"

INPUT = "bench-login"
YARDSTICK = "yardstick"
TRACED = "exactly-once-traced"
CONTENDERS = (YARDSTICK, "exactly-once", "at-least-once", TRACED)


def start(contender: str, servers: str, output: str) -> AbstractContextManager[Contender]:
    """Start a contender."""
    if contender == YARDSTICK:
        return running(["-m", "benchmarks.yardstick", servers, INPUT, output, f"bench-{output}"])
    if contender == TRACED:
        # As it comes: one record in a hundred, with nobody at the other end.
        everything = "metrics,logs,traces"
        environment = processor("exactly-once", servers, INPUT, output, signals=everything)
    else:
        environment = processor(contender, servers, INPUT, output)
    return running(["-m", "lanternpipe", "process"], **environment)


def table(rounds: list[list[Run]]) -> str:
    """Return the medians of all rounds and the ratios to the yardstick, as Markdown. Pure."""
    columns = [
        "contender",
        "records/s",
        "CPU µs/record",
        "ratio to the yardstick (min to max)",
        "broker CPU µs/record",
        "peak RSS MiB",
        "s to full speed",
    ]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for contender in CONTENDERS:
        runs = [run for each in rounds for run in each if run.contender == contender]
        ratios = [run.cpu_us / base.cpu_us for run, base in pairs(rounds, contender)]
        lines.append(
            f"| {contender} | {median(run.records_per_second for run in runs):,.0f} "
            f"| {median(run.cpu_us for run in runs):.2f} "
            f"| {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {median(run.broker_cpu_us for run in runs):.2f} "
            f"| {median(run.rss_mib for run in runs):.0f} "
            f"| {median(run.full_speed_s for run in runs):.1f} |"
        )
    return "\n".join(lines)


def pairs(rounds: list[list[Run]], contender: str) -> Iterator[tuple[Run, Run]]:
    """Yield each run of a contender with the yardstick's run of the same round."""
    for runs in rounds:
        by_name = {run.contender: run for run in runs}
        yield by_name[contender], by_name[YARDSTICK]


def picture(rounds: list[list[Run]]) -> str:
    """Draw the CPU time per record. Pure."""
    bars = []
    for contender in CONTENDERS:
        runs = [run for each in rounds for run in each if run.contender == contender]
        cost, speed = (
            median(run.cpu_us for run in runs),
            median(run.records_per_second for run in runs),
        )
        name = "bare loop, at least once" if contender == YARDSTICK else f"Lanternpipe, {contender}"
        bars.append(Bar(name, cost, f"{cost:.2f} µs · {speed:,.0f} records/s"))
    return bar_chart("CPU time per record, one process", bars)


def measure(broker: Broker, records: int, wanted: int) -> list[list[Run]]:
    """Run the rounds."""
    print(f"preloading {records:,} records ...", flush=True)
    broker.create(INPUT)
    broker.create(f"{INPUT}.dlq")
    kept = preload(broker, INPUT, records)
    warm_up = partial(start, YARDSTICK, broker.servers)
    drain(YARDSTICK, warm_up, "bench-warm-up", broker, records, kept)
    rounds: list[list[Run]] = []
    for number in range(wanted):
        print(f"round {number + 1}", flush=True)
        # Nobody always comes first, or always after the same neighbour.
        turn = number % len(CONTENDERS)
        order = CONTENDERS[turn:] + CONTENDERS[:turn]
        rounds.append(
            [
                calm_drain(
                    each, partial(start, each, broker.servers), number, broker, records, kept
                )
                for each in order
            ]
        )
    return rounds


def main() -> None:
    """Measure, print a table, and write results and picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=4_000_000, help="size of the backlog")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs")
    parser.add_argument(
        "--keep", action="store_true", help="leave results and picture of the last run as they are"
    )
    options = parser.parse_args()
    require_linux()
    with open_broker() as broker:
        rounds = measure(broker, options.records, options.rounds)
    noise = max(run.foreign_cores for runs in rounds for run in runs)
    print(f"\n{table(rounds)}\n\nothers took at most {noise:.2f} cores during a run")
    if options.keep:
        return
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "machine": describe(),
        "records": options.records,
        "rounds": msgspec.to_builtins(rounds),
    }
    RESULTS.write_text(json.dumps(facts, indent=2) + "\n")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(picture(rounds))
    print(f"\nwritten: {RESULTS.relative_to(ROOT)}, {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
