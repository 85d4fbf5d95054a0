"""Our log lines on their way through a real Collector, as an operator would have it read them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.reader import read
from tests.chaos.waiting import until
from tests.chaos.workload import Sender, workload
from tests.stack.collector import collector
from tests.stack.test_signals import of_records

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from lanternpipe.testing.kafka_cluster import KafkaCluster

SECONDS = 60.0
# From the file that a process writes; `if` keeps what is no line of ours, such as a traceback.
CONFIG = """
receivers:
  otlp: {protocols: {http: {}}}
  file_log:
    include: [/var/log/lanternpipe/*.log]
    poll_interval: 100ms
    operators:
      - type: json_parser
        if: body startsWith "{"
        timestamp:
          parse_from: attributes.timestamp
          layout_type: gotime
          layout: "2006-01-02T15:04:05.999999999Z07:00"
        severity: {parse_from: attributes.level, mapping: {warn: warning}}
        trace:
          trace_id: {parse_from: attributes.trace_id}
          span_id: {parse_from: attributes.span_id}
      - {type: move, if: attributes.event != nil, from: attributes.event, to: body}
processors:
  batch: {timeout: 100ms}
exporters:
  file/traces: {path: /var/lib/otelcol/traces.jsonl}
  file/logs: {path: /var/lib/otelcol/logs.jsonl}
extensions:
  health_check: {}
service:
  extensions: [health_check]
  pipelines:
    traces: {receivers: [otlp], processors: [batch], exporters: [file/traces]}
    logs: {receivers: [file_log], processors: [batch], exporters: [file/logs]}
"""
SEVERITIES = {"debug": 5, "info": 9, "warning": 13, "error": 17}  # of OpenTelemetry


def test_our_lines_come_out_as_log_records(
    kafka: KafkaCluster, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line comes out with its event, severity and time, and a dead letter's with its trace."""
    with (
        collector(CONFIG) as receiver,
        Deployment.on(
            kafka, unique("lines"), receiver.container_logs, {"LOG__LEVEL": "debug"}
        ) as deployment,
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        processor = Processor(deployment, "processor").start_and_join()
        with Sender(deployment, list(workload(1, 300, poison=0.1))) as sender:
            sender.finish()
        until(deployment.drained, SECONDS, "all committed")
        assert processor.stop() == 0
        lines = list(processor._lines())
        until(lambda: len(receiver.logs()) == len(lines), SECONDS, "all lines")
        until(lambda: len(of_records(receiver.spans())) > 0, SECONDS, "spans of failures")
        letters = len(read(deployment, deployment.dead_letters))
        until(lambda: len(of_records(receiver.spans())) == letters, SECONDS, "all of them")
        records, spans = receiver.logs(), of_records(receiver.spans())

    assert [record["body"] for record in records] == [line["event"] for line in lines]
    for record, line in zip(records, lines, strict=True):
        assert record["severityNumber"] == SEVERITIES[line["level"]]
        # OTLP counts nanoseconds, which a float has no room for.
        seconds, micros = divmod(int(record["timeUnixNano"]) // 1_000, 1_000_000)
        told = datetime.fromisoformat(line["timestamp"])
        assert (seconds, micros) == (int(told.timestamp()), told.microsecond)
        assert record.get("traceId", "") == line.get("trace_id", "")
        assert record.get("spanId", "") == line.get("span_id", "")
    assert {line["level"] for line in lines} >= {"info", "warning"}
    examples = [record for record in records if record["body"] == "records_dead_lettered"]
    assert {example["attributes"]["first"]: ids(example) for example in examples} == {
        span["attributes"]["pipeline.event.id"]: ids(span)
        for span in spans
        if span["attributes"]["pipeline.event.id"]
        in {example["attributes"]["first"] for example in examples}
    }
    assert examples


def ids(record: dict[str, Any]) -> tuple[str, str]:
    """Return the trace and the span that a record names."""
    return str(record["traceId"]), str(record["spanId"])
