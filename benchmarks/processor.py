"""Throughput: how fast one process drains a backlog, and what CPU and memory that takes.

Contenders in turn, in several rounds: the yardstick (``yardstick.py``), ``lanternpipe process``
exactly once and at least once with metrics and logs, and exactly once with traces, too. Each gets a
fresh process, group and output topic, and drains the same records (``drain.py``). Ratios are taken
within a round, since the speed of a shared machine drifts. A cold broker is left out: one run
before the rounds does not count.
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager
from functools import partial

import msgspec

from benchmarks.broker import Broker, open_broker, preload
from benchmarks.chart import Bar, bar_chart
from benchmarks.contender import ROOT, Contender, processor, running
from benchmarks.drain import Run, calm_drain, drain
from benchmarks.machine import require_linux
from benchmarks.rounds import Rounds, markdown, middle, noise, order, ratios, save, spread

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


def table(rounds: Rounds) -> str:
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
    rows = []
    for contender in CONTENDERS:
        middles = partial(middle, rounds, contender)
        rows.append(
            [
                contender,
                f"{middles(lambda run: run.records_per_second):,.0f}",
                f"{middles(lambda run: run.cpu_us):.2f}",
                spread(ratios(rounds, contender, YARDSTICK)),
                f"{middles(lambda run: run.broker_cpu_us):.2f}",
                f"{middles(lambda run: run.rss_mib):.0f}",
                f"{middles(lambda run: run.full_speed_s):.1f}",
            ]
        )
    return markdown(columns, rows)


def picture(rounds: Rounds) -> str:
    """Draw the CPU time per record. Pure."""
    bars = []
    for contender in CONTENDERS:
        cost = middle(rounds, contender, lambda run: run.cpu_us)
        speed = middle(rounds, contender, lambda run: run.records_per_second)
        name = "bare loop, at least once" if contender == YARDSTICK else f"Lanternpipe, {contender}"
        bars.append(Bar(name, cost, f"{cost:.2f} µs · {speed:,.0f} records/s"))
    return bar_chart("CPU time per record, one process", bars)


def measure(broker: Broker, records: int, wanted: int) -> list[list[Run]]:
    """Run the rounds."""
    print(f"preloading {records:,} records ...", flush=True)
    broker.create_input(INPUT)
    kept = preload(broker, INPUT, records)
    warm_up = partial(start, YARDSTICK, broker.servers)
    drain(YARDSTICK, warm_up, "bench-warm-up", broker, records, kept)
    rounds: list[list[Run]] = []
    for number in range(wanted):
        print(f"round {number + 1}", flush=True)
        rounds.append(
            [
                calm_drain(each, partial(start, each, broker.servers), broker, records, kept)
                for each in order(CONTENDERS, number)
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
    print(f"\n{table(rounds)}\n\nothers took at most {noise(rounds):.2f} cores during a run")
    if options.keep:
        return
    facts = {"records": options.records, "rounds": msgspec.to_builtins(rounds)}
    save(RESULTS, facts, {PICTURE: picture(rounds)})


if __name__ == "__main__":
    main()
