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
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from typing import Any

import msgspec

from benchmarks.broker import Broker, open_broker
from benchmarks.contender import ROOT, Contender, processor, running
from benchmarks.machine import busy_seconds, calm, cpu_seconds, require_linux
from benchmarks.openloop import GIVE_UP_SECONDS
from benchmarks.rounds import markdown, order, save, spread

RESULTS = ROOT / "benchmarks/results/latency.json"

RATE = 5_000
START_SECONDS = 3.0  # until sender and processor run
WARM_UP_SECONDS = 7.0
DELIVERIES = ("exactly-once", "at-least-once")


Start = Callable[[str, str], AbstractContextManager[Contender]]
"""Starts a contender that reads the first topic and writes the second."""


class Run(msgspec.Struct):
    """What one run measured: milliseconds, and shares of one core.

    Attributes:
        contender: Its name.
        p50: Half of the outputs were seen within so many milliseconds, and so on.
        p99: See there.
        p999: See there.
        cpu: Of the contender.
        broker_cpu: Of the broker.
        foreign_cores: That others took.
        missing: Records not seen in time; each counts as having taken as long as was waited for it.
        twice: Outputs seen once more.
        late_ms: 99 % of records were sent within so many milliseconds of when they were due.
    """

    contender: str
    p50: float
    p99: float
    p999: float
    cpu: float
    broker_cpu: float
    foreign_cores: float
    missing: int = 0
    twice: int = 0
    late_ms: float = 0.0


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


@contextmanager
def end(role: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run an end of the measurement within the block."""
    command = [sys.executable, "-m", "benchmarks.openloop", role, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return what an end has found."""
    found = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"{process.args!r} ended with code {process.returncode}; see above")
    return dict(json.loads(found))


def calm_latency(
    contender: str,
    start_contender: Start,
    broker: Broker,
    seconds: float,
    warm_up: float = WARM_UP_SECONDS,
) -> Run:
    """Measure while nobody else uses the machine, and say what came of it."""

    def once() -> Run:
        run = measure(contender, start_contender, broker, seconds, warm_up)
        print(
            f"{run.contender:42} p50 {run.p50:6.1f}  p99 {run.p99:6.1f}  p99.9 {run.p999:6.1f} ms"
            f"  CPU {run.cpu:4.0%}  broker {run.broker_cpu:4.0%}"
            f"  others {run.foreign_cores:.2f} cores  sender late {run.late_ms:.0f} ms",
            flush=True,
        )
        return run

    return calm(once)


def measure(
    contender: str,
    start_contender: Start,
    broker: Broker,
    seconds: float,
    warm_up: float = WARM_UP_SECONDS,
) -> Run:
    """Measure once."""
    run = uuid.uuid4().hex[:8]
    source, target = f"bench-in-{run}", f"bench-out-{run}"
    broker.create(target)
    topics = [target, *broker.create_input(source)]
    start = int(time.time()) + START_SECONDS  # whole, so that no record lies on a border
    begin = start + warm_up
    expected = round(RATE * seconds)
    with (
        end("read", broker.servers, target, begin, seconds, expected) as reader,
        start_contender(source, target) as process,
        end("generate", broker.servers, source, RATE, start, warm_up + seconds) as sender,
    ):
        others = [broker.pid or os.getpid(), sender.pid, reader.pid, os.getpid()]

        def look() -> list[float]:
            own = sum(map(cpu_seconds, process.pids))
            return [busy_seconds(), own, *map(cpu_seconds, others)]

        until(begin)
        process.check()
        before = look()
        until(begin + seconds)
        used = [after - first for after, first in zip(look(), before, strict=True)]
        seen, sent = told(reader), told(sender)
        process.check()
    for topic in topics:
        broker.delete(topic)
    latencies = sorted(seen["latencies"])
    missing = expected - len(latencies)
    latencies += [GIVE_UP_SECONDS * 1_000] * missing  # the least that they have taken
    machine, *parts = (each / seconds for each in used)
    return Run(
        contender,
        percentile(latencies, 0.5),
        percentile(latencies, 0.99),
        percentile(latencies, 0.999),
        parts[0],
        parts[1],
        machine - sum(parts),
        missing,
        seen["twice"],
        sent["late_ms"],
    )


def table(runs: list[Run], contenders: Sequence[str]) -> str:
    """Return the medians over all runs, as Markdown, and what is to be said of them. Pure."""
    columns = ["contender", "p50 ms", "p99 ms (min to max)", "p99.9 ms"]
    columns += ["processor, of one core", "broker"]
    rows = []
    for contender in contenders:
        own = [run for run in runs if run.contender == contender]
        p99s = [run.p99 for run in own]
        rows.append(
            [
                contender,
                f"{median(run.p50 for run in own):.0f}",
                spread(p99s, 0),
                f"{median(run.p999 for run in own):.0f}",
                f"{median(run.cpu for run in own):.0%}",
                f"{median(run.broker_cpu for run in own):.0%}",
            ]
        )
    missing, twice = sum(run.missing for run in runs), sum(run.twice for run in runs)
    late = max(run.late_ms for run in runs)
    return (
        f"{markdown(columns, rows)}\n\n{missing:,} records were not seen in time, and {twice:,} "
        f"twice; in the worst run 99 % were sent within {late:.0f} ms of when they were due"
    )


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
        for number in range(options.rounds):
            for delivery in order(DELIVERIES, number):
                start = of_delivery(delivery, broker)
                runs.append(calm_latency(delivery, start, broker, options.seconds))
    print(f"\n{table(runs, DELIVERIES)}")
    if options.keep:
        return
    save(RESULTS, {"rate": RATE, "runs": msgspec.to_builtins(runs)}, {})


if __name__ == "__main__":
    main()
