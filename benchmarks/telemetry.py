"""The price list: what each signal costs, in CPU time per record.

``lanternpipe process``, exactly once, drains the same topic with everything off and then with
metrics, logs, traces, or all; beside it the bare loop under OpenTelemetry's own instrumentation
(``stock.py``). Whether a record is traced is decided where it is sent, so each share of traced
records has a topic of its own, written as our producer would: headers on these records only. On one
more topic every record carries a foreign ``traceparent`` that says no.

Ratios are taken within a round, twice: against everything off on the same topic, and on the one
without headers, as these are there for the traces' sake; for bare loops against the one without
tracing. At most 100 records a second get spans, as shipped; further ones go on as they came.

Everything off leaves what the loop counts for its ledger, its log and its health, and the client's
own statistics. Left out: what ``drain.py`` leaves out, dead letters, and the Collector's own CPU
time: the one that takes spans is a few lines that read and forget.
"""

from __future__ import annotations

import argparse
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.broker import Broker, open_broker, preload
from benchmarks.chart import Bar, bar_chart
from benchmarks.contender import ROOT, Contender, processor, running
from benchmarks.drain import Run, calm_drain, drain
from benchmarks.machine import require_linux
from benchmarks.rounds import Rounds, markdown, middle, noise, order, paired, ratios, save, spread
from lanternpipe.records import TRACEPARENT, Headers
from lanternpipe.telemetry.sampling import decides, threshold, written

RESULTS = ROOT / "benchmarks/results/telemetry.json"
PICTURE = ROOT / "docs/images/benchmark-telemetry.svg"
STOCK_PYTHON = ROOT / ".venv/stock/bin/python"

EVERYTHING = "metrics,logs,traces"
PLAIN, FOREIGN, FEW = "plain", "foreign", "few"
SHARES = (0.001, 0.01, 0.1, 1.0)
STOCK_RECORDS = 200_000  # it would take minutes for as many as the others


class Row(NamedTuple):
    """One line of the price list.

    Attributes:
        name: What is on.
        topic: What is drained.
        signals: As in ``PIPELINE_TELEMETRY__SIGNALS``; None for the bare loop.
        share: Of records to trace.
        collector: Whether it takes spans, is absent, or hangs.
        shown: Whether the picture shows it.
    """

    name: str
    topic: str
    signals: str | None
    share: float = 0.0
    collector: str = "takes"
    shown: bool = True


def off(topic: str) -> Row:
    """Return the row with everything off."""
    return Row(f"off, {topic}", topic, "")


def own(share: float) -> str:
    """Return the topic on which our producer has traced this share of records."""
    return f"traced-{share:g}"


ROWS = (
    off(PLAIN),
    Row("metrics", PLAIN, "metrics"),
    Row("logs", PLAIN, "logs"),
    Row("traces 0 %", PLAIN, "traces"),
    *(
        row
        for share in SHARES
        for row in (off(own(share)), Row(f"traces {share * 100:g} %", own(share), "traces", share))
    ),
    Row("all, traces 1 %", own(0.01), EVERYTHING, 0.01),
    Row("all, Collector absent", own(0.01), EVERYTHING, 0.01, "absent", shown=False),
    Row("all, Collector hangs", own(0.01), EVERYTHING, 0.01, "hangs", shown=False),
    off(FOREIGN),
    Row("all, foreign headers", FOREIGN, EVERYTHING, 0.01),
    Row("bare loop", PLAIN, None, shown=False),
    Row("bare loop, stock tracing 1 %", FEW, None, 0.01),
    Row("bare loop, stock tracing 100 %", FEW, None, 1.0),
)
BY_NAME = {row.name: row for row in ROWS}
AIM = "all, traces 1 %"


def base_of(row: Row) -> Row:
    """Return what a row is compared with on the same topic."""
    return BY_NAME["bare loop"] if row.signals is None else BY_NAME[off(row.topic).name]


def root_of(row: Row) -> Row:
    """Return what a row is compared with in the end: nothing on, and no headers."""
    return BY_NAME["bare loop"] if row.signals is None else BY_NAME[off(PLAIN).name]


class Sent:
    """Gives records the headers that they would have; repeatable."""

    def __init__(self, topic: str) -> None:
        self._bits = random.Random(1).getrandbits
        self._limit = 0
        self._foreign = topic == FOREIGN
        if topic.startswith("traced-"):
            self._limit = threshold(float(topic.removeprefix("traced-")))

    def __call__(self, key: bytes, value: bytes, create_ms: int) -> Headers | None:
        """Return the headers of a record."""
        if self._foreign:
            refused = written(self._bits(128) or 1, self._bits(64) or 1)[:-1] + b"0"
            return [(TRACEPARENT, refused)]
        if decides(key, value, create_ms, self._limit):
            return [(TRACEPARENT, written(self._bits(128) or 1, self._bits(64) or 1))]
        return None


class Taking(BaseHTTPRequestHandler):
    """Takes whatever is posted."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read, forget, and answer that all is well."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@contextmanager
def collectors() -> Iterator[dict[str, str]]:
    """Run Collectors of each kind within the block; returns their addresses."""
    with ExitStack() as stack:
        taking = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Taking))
        threading.Thread(target=taking.serve_forever, daemon=True).start()
        stack.callback(taking.shutdown)
        hanging = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        with socket.create_server(("127.0.0.1", 0)) as gone:
            absent = gone.getsockname()[1]
        ports = {
            "takes": taking.server_port,
            "hangs": hanging.getsockname()[1],
            "absent": absent,
        }
        yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}


def start(
    row: Row, servers: str, endpoints: dict[str, str], output: str
) -> AbstractContextManager[Contender]:
    """Start the contender of a row."""
    source, group = f"bench-{row.topic}", f"bench-{output}"
    told = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoints[row.collector],
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": f"{row.share:g}",
    }
    if row.signals is not None:
        environment = processor("exactly-once", servers, source, output, signals=row.signals)
        return running(["-m", "lanternpipe", "process"], **environment, **told)
    if not row.share:
        return running(["-m", "benchmarks.yardstick", servers, source, output, group])
    arguments = ["-m", "benchmarks.stock", servers, source, output, group, f"{row.share:g}"]
    return running(arguments, python=str(STOCK_PYTHON), **told)


def table(rounds: Rounds) -> str:
    """Return the medians of all rounds and the ratios to everything off, as Markdown. Pure."""
    columns = [
        "on",
        "topic",
        "CPU µs/record",
        "to off, same topic (min to max)",
        "to off, plain",
        "records/s",
        "peak RSS MiB",
    ]
    rows = []
    for row in ROWS:
        to_base = ratios(rounds, row.name, base_of(row).name)
        to_root = ratios(rounds, row.name, root_of(row).name)
        rows.append(
            [
                row.name,
                row.topic,
                f"{middle(rounds, row.name, lambda run: run.cpu_us):.2f}",
                spread(to_base),
                f"{median(to_root):.2f}",
                f"{middle(rounds, row.name, lambda run: run.records_per_second):,.0f}",
                f"{middle(rounds, row.name, lambda run: run.rss_mib):.0f}",
            ]
        )
    return markdown(columns, rows)


def robustness(rounds: Rounds) -> str:
    """Return what a Collector that is away costs, as Markdown. Pure."""
    columns = [
        "Collector",
        "throughput (min to max)",
        "peak RSS against one that takes spans",
    ]
    rows = []
    for name in ("all, Collector absent", "all, Collector hangs"):
        pairs = paired(rounds, name, AIM)
        speeds = [one.records_per_second / other.records_per_second for one, other in pairs]
        growth = median(one.rss_mib - other.rss_mib for one, other in pairs)
        rows.append([name.rpartition(" ")[2], spread(speeds, 3), f"{growth:+.0f} MiB"])
    return markdown(columns, rows)


def picture(rounds: Rounds) -> str:
    """Draw the CPU time per record. Pure."""
    bars = []
    for row in ROWS:
        if row.shown:
            cost = middle(rounds, row.name, lambda run: run.cpu_us)
            ratio = median(ratios(rounds, row.name, root_of(row).name))
            bars.append(Bar(row.name, cost, f"{cost:.2f} µs · {ratio:.2f}"))
    return bar_chart("CPU time per record, and ratio to everything off without headers", bars)


def measure(broker: Broker, records: int, wanted: int, names: list[str]) -> list[list[Run]]:
    """Run the rounds."""
    rows = [row for row in ROWS if not names or row.name in names]
    counts = {row.topic: STOCK_RECORDS if row.topic == FEW else records for row in rows}
    kept = {}
    for topic, count in counts.items():
        print(f"preloading {count:,} records, {topic} ...", flush=True)
        broker.create_input(f"bench-{topic}")
        kept[topic] = preload(broker, f"bench-{topic}", count, headers=Sent(topic))
    rounds: list[list[Run]] = []
    with collectors() as endpoints:
        starts = {row.name: partial(start, row, broker.servers, endpoints) for row in rows}
        first = rows[0]
        count = counts[first.topic]
        drain(first.name, starts[first.name], "bench-warm-up", broker, count, kept[first.topic])
        for number in range(wanted):
            print(f"round {number + 1}", flush=True)
            runs = []
            for row in order(rows, number):
                count, share = counts[row.topic], kept[row.topic]
                runs.append(calm_drain(row.name, starts[row.name], broker, count, share))
            rounds.append(runs)
    return rounds


def main() -> None:
    """Measure, print tables, and write results and picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=2_000_000, help="size of each backlog")
    parser.add_argument("--rounds", type=int, default=5, help="how often each row runs")
    parser.add_argument(
        "--row", action="append", default=[], help="only these, and write no results"
    )
    options = parser.parse_args()
    require_linux()
    with open_broker() as broker:
        rounds = measure(broker, options.records, options.rounds, options.row)
    if options.row:
        return
    print(f"\n{table(rounds)}\n\n{robustness(rounds)}")
    print(f"\nothers took at most {noise(rounds):.2f} cores during a run")
    facts = {"records": options.records, "rounds": msgspec.to_builtins(rounds)}
    save(RESULTS, facts, {PICTURE: picture(rounds)})


if __name__ == "__main__":
    main()
