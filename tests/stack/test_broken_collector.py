"""A Collector that is away, hangs, refuses or is slow costs spans, and nothing else."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from lanternpipe.telemetry.spans import BATCH_SPANS, QUEUE_SPANS
from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.reader import read
from tests.chaos.waiting import until
from tests.chaos.workload import Sender, workload
from tests.scrape import scraped, value
from tests.stack.collector import collector
from tests.stack.server import HOST
from tests.stack.test_fixtures import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lanternpipe.testing.kafka_cluster import KafkaCluster

RECORDS, PER_SECOND = 5_000, 2_000
DONE_SECONDS = 20.0  # ten exports that the loop waited for would take longer
TOLD_SECONDS = 15.0  # an export is given up after ten
EXIT_SECONDS = 8.0  # two of them are for spans
SLOW_SECONDS, BETWEEN_BYTES = 5.0, 0.5
ANSWER = b"\x0a\x00" * 5  # a protobuf message that says nothing, ten times over


class Fake(ThreadingHTTPServer):
    """Stands for a Collector that answers, but not as it should.

    Attributes:
        asked: How many exports have come.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, how: str) -> None:
        super().__init__((HOST, 0), _Answer)
        self.how, self.asked = how, 0
        self.ended = threading.Event()


class _Answer(BaseHTTPRequestHandler):
    server: Fake

    def do_POST(self) -> None:
        fake = self.server
        fake.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        if fake.how == "slow":
            fake.ended.wait(SLOW_SECONDS)
            self._head(HTTPStatus.OK, len(ANSWER))
            for each in ANSWER:
                self.wfile.write(bytes([each]))
                fake.ended.wait(BETWEEN_BYTES)
        elif fake.how == "overloaded":
            self._head(HTTPStatus.SERVICE_UNAVAILABLE, 0, ("Retry-After", "4"))
        else:
            self._head(HTTPStatus.BAD_REQUEST, 0)

    def _head(self, status: HTTPStatus, length: int, *more: tuple[str, str]) -> None:
        self.send_response(status)
        for name, content in (("Content-Length", f"{length}"), *more):
            self.send_header(name, content)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing."""


@contextmanager
def broken(how: str) -> Iterator[str]:
    """Give the endpoint of a Collector that is broken in some way."""
    if how in {"absent", "hanging"}:
        with collector(CONFIG) as receiver:
            if how == "absent":
                receiver.stop()
            else:
                receiver.pause()
            yield receiver.endpoint
        return
    with Fake(how) as fake:
        thread = threading.Thread(target=fake.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST}:{fake.server_port}"
            assert fake.asked
        finally:
            fake.ended.set()
            fake.shutdown()
            thread.join()


@pytest.fixture(name="deployment")
def _deployment(
    kafka: KafkaCluster, unique: Callable[[str], str], tmp_path: Path
) -> Iterator[Deployment]:
    """Deploy a pipeline that gives every traced record its span."""
    all_of_them = {"TELEMETRY__SPANS_PER_SECOND": f"{RECORDS * 10}"}
    with Deployment.on(kafka, unique("broken"), tmp_path, all_of_them) as deployment:
        yield deployment


@pytest.mark.parametrize("how", ["absent", "hanging", "refusing", "overloaded", "slow"])
def test_a_broken_collector_costs_counted_spans(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Spans that cannot leave are dropped, counted and said; records and the exit do not wait."""

    def spans(fate: str) -> float:
        return value(scraped(processor.metrics), "pipeline_spans_total", fate=fate) or 0.0

    def gone() -> bool:
        return spans("exported") + spans("dropped") >= RECORDS - QUEUE_SPANS - BATCH_SPANS

    with broken(how) as endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        processor = Processor(deployment, "processor").start_and_join()
        with Sender(deployment, list(workload(1, RECORDS)), rate=PER_SECOND) as sender:
            sender.finish()
        until(deployment.drained, DONE_SECONDS, "all committed")
        until(gone, TOLD_SECONDS, "no more spans held than there is room for")
        until(lambda: spans("dropped") > 0, TOLD_SECONDS, "drops counted")
        until(lambda: bool(said(processor)), TOLD_SECONDS, "drops said")
        assert spans("capped") == 0
        before = time.monotonic()
        assert processor.stop() == 0
        assert time.monotonic() - before < EXIT_SECONDS
    assert len(said(processor)) == 1
    for topic, fate in (
        (deployment.output, "processed"),
        (deployment.dead_letters, "dead_lettered"),
    ):
        wanted = sum(each.fate == fate for each in sender.records)
        assert len(read(deployment, topic)) == wanted


def said(processor: Processor) -> list[object]:
    """Return how many spans were lost when that was said."""
    return [line["dropped"] for line in processor.events("traces_not_delivered")]
