"""How cost grows: CPU time per record by partitions, size, encryption, delivery, and processes.

``lanternpipe process`` with metrics and logs drains a backlog, in each case with one thing other
than in the first: six partitions, records of about 200 bytes, no encryption, exactly once, one
process. Then what the knobs of latency do, at 5,000 records a second (``latency.py``).

Two processes share the machine with each other and the broker, so their speed says little of what
two machines would do. Left out: what ``drain.py`` and ``latency.py`` leave out.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.broker import PARTITIONS, Broker, open_broker, preload
from benchmarks.chart import Bar, bar_chart
from benchmarks.contender import ROOT, Contender, processor, running, together
from benchmarks.drain import Run, calm_drain, drain
from benchmarks.latency import Run as LatencyRun
from benchmarks.latency import calm_latency
from benchmarks.latency import table as latency_table
from benchmarks.machine import require_linux
from benchmarks.rounds import Rounds, markdown, middle, noise, order, ratios, save, spread
from lanternpipe.ops.certs import make_certs

RESULTS = ROOT / "benchmarks/results/costs.json"
PICTURE = ROOT / "docs/images/benchmark-costs.svg"
PARTS = ("drains", "latency")
EXACTLY_ONCE, AT_LEAST_ONCE = "exactly-once", "at-least-once"


class Backlog(NamedTuple):
    """What is drained.

    Attributes:
        records: How many.
        size: Of a record, in bytes; 0 for about 200, as they come.
        partitions: Of the input and of the output.
    """

    records: int = 3_000_000
    size: int = 0
    partitions: int = PARTITIONS

    @property
    def topic(self) -> str:
        """Its name."""
        return f"bench-login-{self.size}-{self.partitions}"


class Case(NamedTuple):
    """What differs from the first case."""

    name: str
    backlog: Backlog = Backlog()
    delivery: str = EXACTLY_ONCE
    encrypted: bool = False
    processes: int = 1


BASE = Case("6 partitions, 200 B, plaintext, exactly once")
CASES = (
    BASE,
    Case("32 partitions", Backlog(partitions=32)),
    Case("128 partitions", Backlog(partitions=128)),
    Case("1 kB", Backlog(1_200_000, size=1_000)),
    Case("10 kB", Backlog(200_000, size=10_000)),
    Case("TLS", encrypted=True),
    Case("at least once", delivery=AT_LEAST_ONCE),
    Case("2 processes (shared machine)", processes=2),
)


class Knob(NamedTuple):
    """A setting, whose values have each their latency.

    Attributes:
        delivery: With which it is turned.
        turned: What each value is called, and the variables that it stands for.
    """

    delivery: str
    turned: Mapping[str, Mapping[str, str]]


LINGER = "PIPELINE_KAFKA__PRODUCER_EXTRA__LINGER_MS"
FETCH_WAIT = "PIPELINE_KAFKA__CONSUMER_EXTRA__FETCH_WAIT_MAX_MS"
KNOBS = (
    Knob(
        EXACTLY_ONCE,
        {
            f"COMMIT__SHORTEST={seconds:g}": {"PIPELINE_COMMIT__SHORTEST": str(seconds)}
            for seconds in (0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
        },
    ),
    Knob(
        AT_LEAST_ONCE,
        {
            f"FETCH_WAIT_MAX_MS={wait}, LINGER_MS={linger}": {
                FETCH_WAIT: str(wait),
                LINGER: str(linger),
            }
            for wait, linger in ((50, 20), (20, 5), (5, 5), (5, 2), (5, 0.5), (2, 0.5), (2, 0))
        },
    ),
    Knob(
        AT_LEAST_ONCE,
        {
            f"COMMIT__LONGEST={seconds}": {"PIPELINE_COMMIT__LONGEST": str(seconds)}
            for seconds in (0.05, 1, 5)
        },
    ),
)


def start(
    case: Case, broker: Broker, authority: Path, output: str
) -> AbstractContextManager[Contender]:
    """Start the process, or processes, of a case."""
    secured = {
        "PIPELINE_KAFKA__SECURITY__MODE": "tls",
        "PIPELINE_KAFKA__SECURITY__CA_FILE": str(authority),
    }
    servers = broker.encrypted if case.encrypted else broker.servers
    environment = processor(case.delivery, servers, case.backlog.topic, output)
    if case.encrypted:
        environment |= secured
    one = ["-m", "lanternpipe", "process"]
    return together([running(one, **environment) for _ in range(case.processes)])


def drains(broker: Broker, authority: Path, wanted: int) -> list[list[Run]]:
    """Let every case drain its backlog, in rounds."""
    kept: dict[Backlog, float] = {}
    for backlog in dict.fromkeys(case.backlog for case in CASES):
        print(f"preloading {backlog.records:,} records into {backlog.topic} ...", flush=True)
        replace(broker, partitions=backlog.partitions).create_input(backlog.topic)
        kept[backlog] = preload(broker, backlog.topic, backlog.records, size=backlog.size)
    first = partial(start, BASE, broker, authority)  # warms the broker up, and does not count
    drain(BASE.name, first, "bench-warm-up", broker, BASE.backlog.records, kept[BASE.backlog])
    rounds = []
    for number in range(wanted):
        print(f"round {number + 1} of {wanted}", flush=True)
        rounds.append(
            [
                calm_drain(
                    case.name,
                    partial(start, case, broker, authority),
                    replace(broker, partitions=case.backlog.partitions),
                    case.backlog.records,
                    kept[case.backlog],
                )
                for case in order(CASES, number)
            ]
        )
    for backlog in kept:
        broker.delete(backlog.topic)
    return rounds


def turns(broker: Broker, knob: Knob, seconds: float, wanted: int) -> list[LatencyRun]:
    """Measure the latency at every value of a knob, in rounds."""

    def begin(
        variables: Mapping[str, str], source: str, target: str
    ) -> AbstractContextManager[Contender]:
        environment = processor(knob.delivery, broker.servers, source, target)
        return running(["-m", "lanternpipe", "process"], **environment, **variables)

    return [
        calm_latency(name, partial(begin, knob.turned[name]), broker, seconds)
        for number in range(wanted)
        for name in order([*knob.turned], number)
    ]


def table(rounds: Rounds) -> str:
    """Return the medians of all rounds, as Markdown. Pure."""
    columns = [
        "case",
        "records/s",
        "CPU µs/record",
        "ratio to the first (min to max)",
        "broker CPU µs/record",
        "peak RSS MiB",
    ]
    rows = [
        [
            case.name,
            f"{middle(rounds, case.name, lambda run: run.records_per_second):,.0f}",
            f"{middle(rounds, case.name, lambda run: run.cpu_us):.2f}",
            spread(ratios(rounds, case.name, BASE.name)),
            f"{middle(rounds, case.name, lambda run: run.broker_cpu_us):.2f}",
            f"{middle(rounds, case.name, lambda run: run.rss_mib):.0f}",
        ]
        for case in CASES
    ]
    return markdown(columns, rows)


def picture(rounds: Rounds) -> str:
    """Draw the CPU time per record. Pure."""
    bars = []
    for case in CASES:
        cost = middle(rounds, case.name, lambda run: run.cpu_us)
        bars.append(Bar(case.name, cost, f"{cost:.2f} µs"))
    return bar_chart("CPU time per record, by what differs", bars)


class Results(msgspec.Struct):
    """All that was measured: runs of each case by round, and runs of each knob."""

    rounds: list[list[Run]] = []
    latency: list[list[LatencyRun]] = []


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, and write results and picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each case runs")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a measurement of latency")
    parser.add_argument(
        "--part", choices=PARTS, help="only this, and the rest as it was measured before"
    )
    options = parser.parse_args(arguments)
    require_linux()
    found, parts = Results(), list(PARTS)
    if options.part:
        found, parts = msgspec.json.decode(RESULTS.read_bytes(), type=Results), [options.part]
    with tempfile.TemporaryDirectory() as folder:
        certificates = Path(folder)
        make_certs(certificates, now=datetime.now(UTC))
        with open_broker(certificates / "kafka.pem") as broker:
            if "drains" in parts:
                found.rounds = drains(broker, certificates / "ca.crt", options.rounds)
            if "latency" in parts:
                found.latency = [
                    turns(broker, knob, options.seconds, options.rounds) for knob in KNOBS
                ]
    print(f"\n{table(found.rounds)}\n\nothers took at most {noise(found.rounds):.2f} cores")
    for knob, runs in zip(KNOBS, found.latency, strict=True):
        print(f"\n{knob.delivery}\n\n{latency_table(runs, [*knob.turned])}")
    save(RESULTS, msgspec.to_builtins(found), {PICTURE: picture(found.rounds)})


if __name__ == "__main__":
    main()
