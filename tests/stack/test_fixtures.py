"""The fixtures themselves: what real servers receive, keep and answer."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.waiting import until
from tests.stack.collector import Collector, collector
from tests.stack.install import COMPONENTS, StackError, binary
from tests.stack.prometheus import prometheus
from tests.stack.server import HOST, ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARRIVES = 15.0  # seconds from a sender to the file
SILENCE = 1.0  # seconds without an answer that are enough to call a server silent
CARD = "4111111111111111"
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"

CONFIG = """
receivers:
  otlp:
    protocols:
      http: {}
  file_log:
    include: [/var/log/containers/*.log]
    storage: file_storage
    operators:
      - {type: container, format: docker, add_metadata_from_filepath: false}
      - type: json_parser
        parse_from: body
        trace:
          trace_id: {parse_from: attributes.trace_id}
          span_id: {parse_from: attributes.span_id}
      - {type: move, from: attributes.event, to: body}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 200}
  redaction:
    allow_all_keys: true
    blocked_values: ['4[0-9]{15}']
  batch: {timeout: 100ms}
exporters:
  file/traces: {path: /var/lib/otelcol/traces.jsonl}
  file/logs: {path: /var/lib/otelcol/logs.jsonl, append: true}
extensions:
  health_check: {}
  file_storage: {directory: /var/lib/otelcol/storage}
service:
  extensions: [health_check, file_storage]
  pipelines:
    traces:
      receivers: [otlp]
      processors: [memory_limiter, redaction, batch]
      exporters: [file/traces]
    logs:
      receivers: [otlp, file_log]
      processors: [memory_limiter, redaction, batch]
      exporters: [file/logs]
"""


@pytest.fixture(name="running", scope="module")
def _running() -> Iterator[Collector]:
    """One Collector for the tests that do not stop it."""
    with collector(CONFIG) as server:
        yield server


def span(name: str, **attributes: dict[str, Any]) -> bytes:
    """Return an export request with one span."""
    one = {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": name,
        "kind": 5,
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000001000000000",
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
        "events": [{"timeUnixNano": "1700000000500000000", "name": "retry"}],
    }
    service = {"key": "service.name", "value": {"stringValue": "processor"}}
    scopes = [{"scope": {"name": "by hand"}, "spans": [one]}]
    request = {"resourceSpans": [{"resource": {"attributes": [service]}, "scopeSpans": scopes}]}
    return json.dumps(request).encode()


def send(server: Collector, request: bytes, timeout: float = 5.0) -> int:
    """Export over OTLP/HTTP and return the status."""
    return ask(server.address, "/v1/traces", request, timeout=timeout)[0]


def named(server: Collector, name: str) -> list[dict[str, Any]]:
    """Return the received spans of a name."""
    return [each for each in server.spans() if each["name"] == name]


def test_span_sent_over_http_arrives_in_the_file(running: Collector) -> None:
    """A span that is sent over HTTP is read back with its ids, attributes and resource."""
    numbers = {"arrayValue": {"values": [{"intValue": "1"}, {"doubleValue": 0.5}]}}
    request = span("process", attempts={"intValue": "3"}, ok={"boolValue": True}, numbers=numbers)
    assert send(running, request) == HTTPStatus.OK
    until(lambda: bool(named(running, "process")), ARRIVES, "the span is in the file")
    (received,) = named(running, "process")
    assert (received["traceId"], received["spanId"]) == (TRACE, SPAN)
    assert received["attributes"]["attempts"] == 3
    assert received["attributes"]["ok"] is True
    assert received["attributes"]["numbers"] == [1, 0.5]
    assert received["resource"] == {"service.name": "processor"}
    assert received["scope"] == "by hand"
    assert [event["name"] for event in received["events"]] == ["retry"]


def test_forbidden_value_is_masked_on_its_way(running: Collector) -> None:
    """The processors of the given configuration run: a card's number does not reach the file."""
    assert send(running, span("pay", card={"stringValue": CARD})) == HTTPStatus.OK
    until(lambda: bool(named(running, "pay")), ARRIVES, "the span is in the file")
    assert set(named(running, "pay")[0]["attributes"]["card"]) == {"*"}
    assert CARD not in running.traces_file.read_text()


def test_log_line_of_a_container_arrives(running: Collector) -> None:
    """A line as a container engine writes it arrives as a log record that carries its trace."""
    said = {"event": "batch committed", "records": 7, "trace_id": TRACE, "span_id": SPAN}
    line = {
        "log": json.dumps(said) + "\n",
        "stream": "stdout",
        "time": "2026-01-02T03:04:05.678Z",
    }
    (running.container_logs / "processor.log").write_text(json.dumps(line) + "\n")
    until(lambda: bool(running.logs()), ARRIVES, "the log record is in the file")
    (record,) = running.logs()
    assert record["body"] == "batch committed"
    assert record["attributes"]["records"] == 7
    assert (record["traceId"], record["spanId"]) == (TRACE, SPAN)
    assert record["timeUnixNano"] == "1767323045678000000"


def test_own_metrics_are_served(running: Collector) -> None:
    """The Collector's own metrics are there to be scraped."""
    assert send(running, span("counted")) == HTTPStatus.OK
    status, body = ask(running.metrics_address, "/metrics")
    assert status == HTTPStatus.OK
    assert b"otelcol_receiver_accepted_spans" in body


def test_paused_collector_is_a_black_hole() -> None:
    """A paused Collector takes a connection and does not answer; resumed, it answers again."""
    with collector(CONFIG) as server:
        server.pause()
        with pytest.raises(TimeoutError):
            send(server, span("lost"), timeout=SILENCE)
        server.resume()
        assert send(server, span("resumed")) == HTTPStatus.OK
        until(lambda: bool(named(server, "resumed")), ARRIVES, "the span is in the file")


def test_nothing_is_left_of_a_paused_collector() -> None:
    """The end of the block ends a frozen Collector, too, and removes its files."""
    with collector(CONFIG) as server:
        server.pause()
    assert not server.runs()
    assert not server.folder.exists()


def test_stopped_collector_refuses_and_comes_back() -> None:
    """A stopped Collector refuses; started again it has its port, and the file keeps both lives."""
    with collector(CONFIG) as server:
        assert send(server, span("before")) == HTTPStatus.OK
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            send(server, span("lost"))
        assert named(server, "before"), "an orderly stop writes what is held"
        server.start()
        assert send(server, span("after")) == HTTPStatus.OK
        until(lambda: bool(named(server, "after")), ARRIVES, "the span is in the file")
        assert named(server, "before")


def test_variables_reach_the_configuration(tmp_path: Path) -> None:
    """A configuration may be a file that names variables, and its folder may be chosen."""
    file = tmp_path / "shipped.yaml"
    file.write_text(CONFIG.replace("limit_mib: 200", "limit_mib: '${env:LIMIT_MIB}'"))
    with collector(file, environment={"LIMIT_MIB": "321"}, directory=tmp_path / "run") as server:
        assert server.folder == tmp_path / "run"
    assert '"limit_mib": 321' in server.log.read_text()


def test_refused_configuration_is_told_with_the_log(tmp_path: Path) -> None:
    """A Collector that refuses its configuration fails at once, with its own words as a note."""
    wrong = CONFIG.replace("limit_mib", "limit_mist")
    with (
        pytest.raises(StackError, match="collector ended while starting") as caught,
        collector(wrong, directory=tmp_path),
    ):
        pass
    assert "limit_mist" in "".join(caught.value.__notes__)


METRICS = """# TYPE request_seconds histogram
# HELP request_seconds How long requests took.
request_seconds_bucket{le="0.1"} 2.0
request_seconds_bucket{le="1.0"} 5.0 # {trace_id="%s"} 0.67 %.3f
request_seconds_bucket{le="+Inf"} 5.0
request_seconds_count 5.0
request_seconds_sum 2.5
# EOF
"""


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = (METRICS % (TRACE, time.time())).encode()
        self.send_response(HTTPStatus.OK)
        kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing."""


@contextmanager
def target() -> Iterator[str]:
    """Serve metrics with an exemplar and give the address."""
    with ThreadingHTTPServer((HOST, 0), _Metrics) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


RULES = """
groups:
  - name: requests
    rules:
      - {alert: SlowRequests, expr: 'request_seconds_sum / request_seconds_count > 0.4'}
      - {alert: NeverFires, expr: 'request_seconds_count > 5'}
"""


def test_scraped_histogram_is_returned_with_its_exemplar(tmp_path: Path) -> None:
    """Prometheus returns a histogram's values and the trace that its exemplar names."""
    began = time.time()
    with target() as address, prometheus({"processor": [address]}, directory=tmp_path) as server:
        (count,) = server.query('request_seconds_count{job="processor"}')
        assert count.value == 5
        assert count.labels["instance"] == address
        (ratio,) = server.query('request_seconds_bucket{le="0.1"} / 5')
        assert ratio.value == pytest.approx(0.4)
        assert server.query("scalar(request_seconds_sum)")[0].value == 2.5
        found = server.query_exemplars("request_seconds_bucket", began - 60, time.time() + 60)
        assert {(each.labels["trace_id"], each.value) for each in found} == {(TRACE, 0.67)}
        assert found[0].series["le"] == "1.0"
        assert found[0].timestamp >= began - 1
        series = server.series('{__name__=~"request_seconds_.*"}')
        assert len(series) == 5
    assert (tmp_path / "data").is_dir()


def test_alert_of_a_rule_fires_on_scraped_values(tmp_path: Path) -> None:
    """A rule fires on what was scraped, and one whose condition does not hold is silent."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    with target() as address, prometheus({"processor": [address]}, rules=[rules]) as server:
        until(lambda: bool(server.alerts()), ARRIVES, "an alert is there")
        assert [alert["labels"]["alertname"] for alert in server.alerts()] == ["SlowRequests"]
        assert server.alerts()[0]["state"] == "firing"


def test_wrong_expression_is_told() -> None:
    """An expression that Prometheus cannot parse raises its own words."""
    with prometheus({}) as server, pytest.raises(StackError, match="parse error"):
        server.query("sum(")


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda each: each.name)
def test_programs_come_with_the_build(component: Any) -> None:
    """Each program of a build is there to be run, promtool and amtool among them."""
    for program in component.programs:
        assert binary(component, program).is_file()
