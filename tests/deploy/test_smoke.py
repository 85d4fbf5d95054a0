"""What looks at a running stack in the workflow: finds what is wrong, and nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from deploy.compose.links import Visitor
from deploy.grafana.generate.boards import BOARDS
from deploy.grafana.reading import dashboards, panels
from lanternpipe.testing.doubles import Clock
from tests.compose.smoke import (
    Check,
    Failure,
    failures,
    grafana_checks,
    loki_check,
    prometheus_checks,
    tempo_check,
)

BOARDS_SHOWN = dashboards()


class Stack(ThreadingHTTPServer):
    """Stands for Prometheus, Tempo, Loki and Grafana, which are all well unless told otherwise.

    Attributes:
        down: Targets that are not up.
        fired: Alerts that have fired.
        traces: What Tempo finds.
        lines: What Loki finds.
        unknown: A dashboard that Grafana does not have.
        empty: A query that finds nothing.
        broken: A query that is refused.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.down: list[str] = []
        self.fired: list[str] = []
        self.traces = [{"traceID": "abc"}]
        self.lines: list[dict[str, Any]] = [{}]
        self.unknown = self.empty = self.broken = "none such"
        self.queried: list[str] = []

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, query: dict[str, list[str]]) -> Any:
        """Return the answer to a GET; None where there is no such thing."""
        if path == "/api/v1/query":
            return {"data": {"result": self.result(query["query"][0])}}
        if path.endswith("/api/search"):
            return {"traces": self.traces}
        if path.endswith("/loki/api/v1/query_range"):
            return {"data": {"result": self.lines}}
        if path == f"/api/dashboards/uid/{self.unknown}":
            return None
        return {}

    def result(self, query: str) -> list[Any]:
        """Return what Prometheus finds."""
        if query == "up == 0":
            return [{"metric": {"job": job}} for job in self.down]
        if "ALERTS" in query:
            return [{"metric": {"alertname": name}} for name in self.fired]
        return [] if "!=" in query else [{"metric": {}}]

    def panel(self, query: dict[str, Any]) -> Any:
        """Return what Grafana answers for one query."""
        self.queried.append(query["expr"])
        if self.broken in query["expr"]:
            return {"error": "parse error"}
        values = [] if self.empty in query["expr"] else [[1], [2]]
        return {"frames": [{"data": {"values": values}}]}


class _Answer(BaseHTTPRequestHandler):
    server: Stack

    def do_GET(self) -> None:
        at = urlsplit(self.path)
        self._say(self.server.answer(at.path, parse_qs(at.query)))

    def do_POST(self) -> None:
        assert self.path == "/api/ds/query"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (query,) = body["queries"]
        self._say({"results": {query["refId"]: self.server.panel(query)}})

    def _say(self, answer: Any) -> None:
        self.send_response(404 if answer is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing."""


@pytest.fixture(name="stack")
def _stack() -> Iterator[Stack]:
    """Run a stack that is well."""
    with Stack() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def seen(stack: Stack, quiet: float | None = None) -> list[Failure]:
    """Return what is found wrong at the first look."""
    ask = Visitor().ask
    checks = [
        *prometheus_checks(ask, stack.address, quiet),
        tempo_check(ask, stack.address),
        loki_check(ask, stack.address),
        *grafana_checks(ask, stack.address, BOARDS_SHOWN),
    ]
    return failures(checks, 0.0)


def test_a_stack_that_is_well_has_no_failures(stack: Stack) -> None:
    """All panels are asked for, with values for their variables, and all is well."""
    assert seen(stack, quiet=60) == []
    asked = [each for board in BOARDS_SHOWN for panel in panels(board) for each in panel["targets"]]
    assert len(stack.queried) == len([each for each in asked if "expr" in each])
    assert not [query for query in stack.queried if "$" in query.replace(")$", "")]


def test_what_is_wrong_is_told(stack: Stack) -> None:
    """A target that is down, a fired alert, and a trace or line that is missing are told."""
    stack.down, stack.fired, stack.traces, stack.lines = ["kafka"], ["PipelineAbsent"], [], []
    told = {each.what: each.why for each in seen(stack, quiet=60)}
    assert told.keys() == {
        "every target is up",
        "no alert has fired",
        "a trace crosses Kafka",
        "a line of a processor names its trace",
    }
    assert "kafka" in told["every target is up"]
    assert "PipelineAbsent" in told["no alert has fired"]
    assert "no alert has fired" not in {each.what for each in seen(stack)}


def test_a_dashboard_that_is_missing_is_told(stack: Stack) -> None:
    """A dashboard that Grafana has not taken is named."""
    stack.unknown = "lanternpipe-lag"
    (found,) = seen(stack)
    assert found.what == "lanternpipe-lag is there"
    assert "404" in found.why


def test_panels_that_are_empty_or_broken_are_told(stack: Stack) -> None:
    """A panel without data is told unless that is good; one whose query is refused always is."""
    stack.empty = "pipeline_"
    empty = {each.what for each in seen(stack)}
    assert "lanternpipe-overview: Flow by outcome (A)" in empty
    good = [f"{board.uid}: {title} ({ref})" for board in BOARDS for title, ref in board.empty()]
    assert good
    assert not empty & {*good}
    stack.broken = "severity_text"
    assert {each.why for each in seen(stack) if each.what.startswith("lanternpipe-logs")} == {
        "parse error"
    }


def test_it_waits_for_what_comes_late() -> None:
    """A check is looked at again until it is kept, or time is over; one that is kept no more."""
    clock = Clock(0.0)
    looks = {"early": 0, "late": 0, "never": 0}

    def check(name: str, after: float) -> Check:
        def look() -> str:
            looks[name] += 1
            return "" if clock.now >= after else "not yet"

        return Check(name, look)

    checks = [check("early", 0.0), check("late", 10.0), check("never", 1e9)]
    assert failures(checks, 60.0, clock=clock, pause=clock.pause) == [Failure("never", "not yet")]
    assert looks["early"] == 1
    assert looks["late"] == 6
    assert looks["never"] == 31
