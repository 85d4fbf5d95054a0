"""Latency: from the moment a record is due to a committed reader's sight of its output.

At a steady 5,000 records a second, open loop (``openloop.py``), for ``lanternpipe process``
exactly once and at least once in turn; the first seconds do not count. Each run has a fresh
process, group and topics. Sender, processor, reader and broker share one machine, so that their
competition for its cores is part of the figures. Filtered records have no output; none are sent.

Left out: a network and replicas, whose round trips add up several times in a transaction.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from statistics import median

import msgspec

from benchmarks.broker import Broker, open_broker
from benchmarks.contender import ROOT, Contender, processor, running
from benchmarks.machine import await_calm, busy_seconds, cpu_seconds, require_linux
from benchmarks.rounds import save

RESULTS = ROOT / "benchmarks/results/latency.json"

RATE = 5_000
START_SECONDS = 3.0  # until sender and processor run
WARM_UP_SECONDS = 7.0
DELIVERIES = ("exactly-once", "at-least-once")


Start = Callable[[str, str], AbstractContextManager[Contender]]
"""Starts a contender that reads the first topic and writes the second."""


class Run(msgspec.Struct):
    """What one run measured: milliseconds, and shares of one core."""

    contender: str
    p50: float
    p99: float
    p999: float
    cpu: float
    broker_cpu: float
    foreign_cores: float


def percentile(ordered: list[float], share: float) -> float:
    """Return the value below which a share of the ordered values lies. Pure."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def until(moment: float) -> None:
    """Wait for a moment."""
    time.sleep(max(0.0, moment - time.time()))


def of_delivery(delivery: str, broker: Broker) -> Start:
    """Return what starts a processor as it comes, but for its traces."""

    def start(source: str, target: str) -> AbstractContextManager[Contender]:
        environment = processor(delivery, broker.servers, source, target)
        return running(["-m", "lanternpipe", "process"], **environment)

    return start


def measure(
    contender: str,
    start_contender: Start,
    number: int,
    broker: Broker,
    seconds: float,
    warm_up: float = WARM_UP_SECONDS,
) -> Run:
    """Measure once."""
    source, target = f"bench-in-{number}", f"bench-out-{number}"
    broker.create(target)
    topics = [target, *broker.create_input(source)]
    start = int(time.time()) + START_SECONDS  # whole, so that no record lies on a border
    begin = start + warm_up
    span = [str(begin), str(seconds), str(round(RATE * seconds))]
    end = ["-m", "benchmarks.openloop"]
    generate = [*end, "generate", broker.servers, source]
    generate += [str(RATE), str(start), str(warm_up + seconds)]
    read = [sys.executable, *end, "read", broker.servers, target, *span]
    with (
        subprocess.Popen(read, cwd=ROOT, stdout=subprocess.PIPE) as reader,
        start_contender(source, target) as process,
        running(generate) as sender,
    ):
        others = [broker.pid or os.getpid(), *sender.pids, reader.pid, os.getpid()]

        def look() -> list[float]:
            own = sum(map(cpu_seconds, process.pids))
            return [busy_seconds(), own, *map(cpu_seconds, others)]

        until(begin)
        process.check()
        before = look()
        until(begin + seconds)
        used = [after - first for after, first in zip(look(), before, strict=True)]
        latencies = sorted(json.loads(reader.communicate()[0]))
    for topic in topics:
        broker.delete(topic)
    if len(latencies) != round(RATE * seconds):
        print(f"only {len(latencies):,} of {round(RATE * seconds):,} records were seen in time")
    machine, *parts = (each / seconds for each in used)
    return Run(
        contender,
        percentile(latencies, 0.5),
        percentile(latencies, 0.99),
        percentile(latencies, 0.999),
        parts[0],
        parts[1],
        machine - sum(parts),
    )


def table(runs: list[Run], contenders: Sequence[str]) -> str:
    """Return the medians over all runs, as Markdown. Pure."""
    lines = [
        "| contender | p50 ms | p99 ms | p99.9 ms | processor, of one core | broker |",
        "|---|---|---|---|---|---|",
    ]
    for contender in contenders:
        own = [run for run in runs if run.contender == contender]
        cpu, broker = median(run.cpu for run in own), median(run.broker_cpu for run in own)
        lines.append(
            f"| {contender} | {median(run.p50 for run in own):.0f} "
            f"| {median(run.p99 for run in own):.0f} | {median(run.p999 for run in own):.0f} "
            f"| {cpu:.0%} | {broker:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="length of one run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind of delivery")
    parser.add_argument("--keep", action="store_true", help="leave the last results as they are")
    options = parser.parse_args()
    require_linux()
    runs = []
    with open_broker() as broker:
        for number in range(options.rounds * len(DELIVERIES)):
            await_calm()
            delivery = DELIVERIES[number % 2]
            run = measure(delivery, of_delivery(delivery, broker), number, broker, options.seconds)
            print(
                f"{run.contender:14} p50 {run.p50:6.1f}  p99 {run.p99:6.1f}  p99.9 {run.p999:6.1f}"
                f"  ms  processor {run.cpu:4.0%}  broker {run.broker_cpu:4.0%}"
                f"  others {run.foreign_cores:.2f} cores",
                flush=True,
            )
            runs.append(run)
    print(f"\n{table(runs, DELIVERIES)}")
    if options.keep:
        return
    save(RESULTS, {"rate": RATE, "runs": msgspec.to_builtins(runs)}, {})


if __name__ == "__main__":
    main()
