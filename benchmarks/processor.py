"""Throughput: how fast one process drains a backlog, and what CPU and memory that takes.

Contenders in turn, in several rounds: the yardstick (``yardstick.py``), ``lanternpipe process``
exactly once and at least once with metrics and logs, and exactly once with traces, too. Each gets a
fresh process, group and output topic, and drains the same records. Measured from outside, between
15 % and 95 % of the records: CPU time of the whole process, all threads, from ``/proc``; progress
from the ends of the output topic. Ratios are taken within a round, since the speed of a shared
machine drifts.

Left out: start-up (told apart as seconds to full speed), a cold broker (one run before the rounds
does not count), scrapes of ``/metrics``, and a network: all on one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.broker import Broker, open_broker, preload
from benchmarks.chart import Bar, bar_chart
from benchmarks.contender import ROOT, Contender, processor, running
from benchmarks.machine import (
    await_calm,
    busy_seconds,
    cpu_seconds,
    describe,
    peak_rss_mib,
    require_linux,
)

RESULTS = ROOT / "benchmarks/results/processor.json"
PICTURE = ROOT / "docs/images/benchmark-processor.svg"

INPUT = "bench-login"
WINDOW = (0.15, 0.95)  # of the records
SAMPLE_SECONDS = 0.1
STUCK_SECONDS = 60.0
NOISY_CORES = 0.3  # a run during which others took more is made again
TRIES = 4

YARDSTICK = "yardstick"
TRACED = "exactly-once-traced"
CONTENDERS = (YARDSTICK, "exactly-once", "at-least-once", TRACED)


class Sample(NamedTuple):
    """One look at a run: seconds, records done, and CPU seconds used so far."""

    at: float
    done: float
    process: float
    broker: float
    machine: float


class Run(msgspec.Struct):
    """What one run of one contender measured."""

    contender: str
    records_per_second: float
    cpu_us: float
    broker_cpu_us: float
    rss_mib: float
    full_speed_s: float
    foreign_cores: float


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


def drain(contender: str, output: str, broker: Broker, records: int, kept: float) -> Run:
    """Let a contender drain the input into a topic of its own."""
    broker.create(output)
    began = moved = time.monotonic()
    samples: list[Sample] = []
    with start(contender, broker.servers, output) as process:
        while not samples or samples[-1].done < records:
            now = time.monotonic()
            process.check(stuck=now - moved > STUCK_SECONDS)
            sample = Sample(
                now - began,
                broker.written(output) / kept,
                cpu_seconds(process.pid),
                cpu_seconds(broker.pid) if broker.pid else 0.0,
                busy_seconds() - cpu_seconds(os.getpid()),
            )
            if not samples or sample.done > samples[-1].done:
                moved = now
            samples.append(sample)
            time.sleep(SAMPLE_SECONDS)
        rss = peak_rss_mib(process.pid)
    broker.delete(output)
    return summary(contender, samples, records, rss)


def summary(contender: str, samples: list[Sample], records: int, rss: float) -> Run:
    """Work out the figures of a run. Pure."""
    low, high = (share * records for share in WINDOW)
    window = [sample for sample in samples if low <= sample.done <= high]
    first, last = window[0], window[-1]
    seconds, done = last.at - first.at, last.done - first.done
    process, broker = last.process - first.process, last.broker - first.broker
    speed = done / seconds
    # The first half second in which it went at nine tenths of its speed.
    span = round(0.5 / SAMPLE_SECONDS)
    full = next(
        (
            one.at
            for one, other in zip(samples, samples[span:], strict=False)
            if other.done - one.done >= 0.9 * speed * (other.at - one.at)
        ),
        first.at,
    )
    return Run(
        contender,
        speed,
        process / done * 1e6,
        broker / done * 1e6,
        rss,
        full,
        (last.machine - first.machine - process - broker) / seconds,
    )


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


def calm_drain(contender: str, number: int, broker: Broker, records: int, kept: float) -> Run:
    """Drain once; again, but not for ever, if others have used the machine meanwhile."""
    for attempt in range(TRIES):
        await_calm()
        run = drain(
            contender, f"bench-output-{contender}-{number}-{attempt}", broker, records, kept
        )
        print(
            f"{contender:14} {run.records_per_second:9,.0f} records/s  {run.cpu_us:5.2f} µs  "
            f"{run.rss_mib:4.0f} MiB  full speed after {run.full_speed_s:.1f} s  "
            f"others {run.foreign_cores:.2f} cores",
            flush=True,
        )
        if run.foreign_cores < NOISY_CORES:
            break
    return run


def measure(broker: Broker, records: int, wanted: int) -> list[list[Run]]:
    """Run the rounds."""
    print(f"preloading {records:,} records ...", flush=True)
    broker.create(INPUT)
    broker.create(f"{INPUT}.dlq")
    kept = preload(broker, INPUT, records)
    drain(YARDSTICK, "bench-warm-up", broker, records, kept)
    rounds: list[list[Run]] = []
    for number in range(wanted):
        print(f"round {number + 1}", flush=True)
        # Nobody always comes first, or always after the same neighbour.
        turn = number % len(CONTENDERS)
        order = CONTENDERS[turn:] + CONTENDERS[:turn]
        rounds.append([calm_drain(each, number, broker, records, kept) for each in order])
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
