"""Side by side: the same work by the bare loop, by us, and by others, in one interleaved run.

First everybody must make the same outputs of the same records (``sameness.py``). Then everybody
drains the same topic on one real broker, in several rounds and a changing order, with a fresh
process, group and output topic. Ten seconds from the first output on do not count, in which
a JVM warms up; then at most twelve do. Then latency at 5,000 records a second (``latency.py``), and
how long outputs stay away when a process is killed and started again (``restart.py``).

Left out: a network, replicas, TLS, state, and what each does when a record is broken.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import msgspec

from benchmarks.broker import Broker, open_broker, preload
from benchmarks.chart import Bar, bar_chart
from benchmarks.contender import ROOT
from benchmarks.drain import Run, Window, calm_drain, drain
from benchmarks.latency import Run as LatencyRun
from benchmarks.latency import calm_latency
from benchmarks.latency import table as latency_table
from benchmarks.machine import require_linux
from benchmarks.peers import restart, sameness
from benchmarks.peers.contenders import PEERS, YARDSTICK, Peer, Stage, start
from benchmarks.peers.restart import Restart
from benchmarks.peers.streams import built
from benchmarks.rounds import Rounds, markdown, middle, noise, order, ratios, save, spread
from benchmarks.telemetry import collectors

RESULTS = ROOT / "benchmarks/results/peers.json"
PICTURE = ROOT / "docs/images/benchmark-peers.svg"
SOURCE = "bench-login"
WINDOW = Window(low=0.0, skip=10.0, most=12.0)
WARM_UP_SECONDS = 15.0  # before latency counts
PARTS = ("drains", "latency", "restarts")


class Results(msgspec.Struct):
    """All that was measured.

    Attributes:
        records: Size of the backlog.
        rounds: Runs of draining it, by round.
        latency: Runs at 5,000 records a second.
        restarts: Kills.
    """

    records: int = 0
    rounds: list[list[Run]] = []
    latency: list[LatencyRun] = []
    restarts: list[Restart] = []


def drained(peers: Sequence[Peer]) -> list[Peer]:
    """Return those whose speed is measured."""
    return [peer for peer in peers if peer.has_drain]


def table(rounds: Rounds, restarts: Sequence[Restart], peers: Sequence[Peer]) -> str:
    """Return the medians of all rounds, as Markdown. Pure."""
    columns = [
        "contender",
        "records/s",
        "CPU µs/record",
        "ratio to the bare loop (min to max)",
        "broker CPU µs/record",
        "peak RSS MiB",
        "s to first output",
        "s without outputs after SIGKILL (min to max)",
    ]
    rows = []
    for peer in drained(peers):
        middles = partial(middle, rounds, peer.name)
        away = [each.seconds for each in restarts if each.contender == peer.name]
        rows.append(
            [
                peer.name,
                f"{middles(lambda run: run.records_per_second):,.0f}",
                f"{middles(lambda run: run.cpu_us):.2f}",
                spread(ratios(rounds, peer.name, YARDSTICK.name)),
                f"{middles(lambda run: run.broker_cpu_us):.2f}",
                f"{middles(lambda run: run.rss_mib):.0f}",
                f"{middles(lambda run: run.first_s):.1f}",
                spread(away, 1) if away else "-",
            ]
        )
    return markdown(columns, rows)


def picture(rounds: Rounds, peers: Sequence[Peer]) -> str:
    """Draw the CPU time per record. Pure."""
    bars = []
    for peer in drained(peers):
        cost = middle(rounds, peer.name, lambda run: run.cpu_us)
        speed = middle(rounds, peer.name, lambda run: run.records_per_second)
        bars.append(Bar(peer.name, cost, f"{cost:.2f} µs · {speed:,.0f} records/s"))
    return bar_chart("CPU time per record, one process", bars)


def drains(
    broker: Broker, stage: Stage, peers: Sequence[Peer], records: int, wanted: int
) -> list[list[Run]]:
    """Let everybody drain the topic, in rounds."""
    print(f"preloading {records:,} records ...", flush=True)
    broker.create_input(SOURCE)
    kept = preload(broker, SOURCE, records)
    first = partial(start, YARDSTICK, stage, SOURCE)  # warms the broker up, and does not count
    drain(YARDSTICK.name, first, "bench-warm-up", broker, records, kept, WINDOW)
    rounds = []
    for number in range(wanted):
        print(f"round {number + 1} of {wanted}", flush=True)
        rounds.append(
            [
                calm_drain(
                    peer.name,
                    partial(start, peer, stage, SOURCE),
                    broker,
                    records,
                    kept,
                    WINDOW,
                )
                for peer in order(drained(peers), number)
            ]
        )
    broker.delete(SOURCE)
    return rounds


def latencies(
    broker: Broker, stage: Stage, peers: Sequence[Peer], seconds: float, wanted: int
) -> list[LatencyRun]:
    """Measure everybody's latency, in rounds."""
    return [
        calm_latency(
            peer.name, partial(start, peer, stage, quick=True), broker, seconds, WARM_UP_SECONDS
        )
        for number in range(wanted)
        for peer in order(peers, number)
    ]


def restarts_of(broker: Broker, stage: Stage, peers: Sequence[Peer], wanted: int) -> list[Restart]:
    """Kill everybody."""
    found = []
    for number in range(wanted):
        for peer in order(drained(peers), number):
            begin = partial(start, peer, stage, quick=True)
            found.append(restart.measure(peer.name, begin, broker))
            print(f"{peer.name:42} outputs again after {found[-1].seconds:.1f} s", flush=True)
    return found


def main() -> None:
    """Measure, print tables, and write results and picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=16_000_000, help="size of the backlog")
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a measurement of latency")
    parser.add_argument("--restarts", type=int, default=3, help="how often each is killed")
    parser.add_argument(
        "--part", choices=PARTS, help="only this, and the rest as it was measured before"
    )
    parser.add_argument(
        "--contender", action="append", default=[], help="only these, and write no results"
    )
    options = parser.parse_args()
    require_linux()
    given = options.contender
    peers = [peer for peer in PEERS if not given or peer.name in {*given, YARDSTICK.name}]
    late = [peer for peer in peers if peer.has_latency]
    found, parts = Results(), list(PARTS)
    if options.part:
        found, parts = msgspec.json.decode(RESULTS.read_bytes(), type=Results), [options.part]
    with built() as class_path, collectors() as endpoints, open_broker() as broker:
        stage = Stage(broker.servers, endpoints["takes"], class_path)
        sameness.check(peers, stage, broker)
        if "drains" in parts:
            found.records = options.records
            found.rounds = drains(broker, stage, peers, options.records, options.rounds)
        if "latency" in parts:
            found.latency = latencies(broker, stage, late, options.seconds, options.rounds)
        if "restarts" in parts:
            found.restarts = restarts_of(broker, stage, late, options.restarts)
    names = [peer.name for peer in late]
    print(
        f"\n{table(found.rounds, found.restarts, peers)}\n\n{latency_table(found.latency, names)}"
    )
    print(f"\nothers took at most {noise(found.rounds):.2f} cores during a run")
    if not given:
        save(RESULTS, msgspec.to_builtins(found), {PICTURE: picture(found.rounds, peers)})


if __name__ == "__main__":
    main()
