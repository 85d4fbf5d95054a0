"""The demo's traces: where their spans come from, and the tree that they make."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from lanternpipe.demo.recent import SPANS_KEPT, RecentTraces
from lanternpipe.demo.trace_tree import Span, Trace, as_json
from lanternpipe.demo.tracing import ratio_at, tracing
from lanternpipe.errors import ConfigError
from lanternpipe.records import Records, TopicPartition
from lanternpipe.settings import Settings
from lanternpipe.telemetry.sampling import DEFAULT_RATIO, written
from lanternpipe.telemetry.traces import RecordTracer
from lanternpipe.testing.doubles import LogBook
from tests.unit.followed import (
    BEGAN,
    EVENT,
    TRACE,
    processed,
    sent,
)


def test_a_trace_is_a_tree_that_crosses_kafka() -> None:
    """Between the span that wrote a record and the one that read it stands the record's place."""
    rows = [
        (row.guide + row.label, row.service, row.begin_ms, row.length_ms) for row in TRACE.rows()
    ]

    assert rows == [
        ("send in", "producer", 0.0, 40.0),
        ("╰ in/2/7", "Kafka", 0.0, 0.0),
        ("  ╰ process in", "processor", 50.0, 20.0),
    ]
    assert (TRACE.crossing, TRACE.milliseconds) == ("in/2/7", 70.0)
    assert TRACE.remark == "invalid at decode, in a batch of 12"


def test_one_side_of_kafka_is_no_crossing() -> None:
    """A trace that began elsewhere, or has not been processed yet, has not crossed Kafka."""
    assert Trace((sent(),)).crossing == ""
    assert Trace((processed(parent=99),)).crossing == ""


@given(st.data())
def test_every_span_is_in_the_tree_once(data: st.DataObject) -> None:
    """Whatever spans a trace has, each has one line, below its parent's where that is known."""
    count = data.draw(st.integers(1, 12))
    spans = []
    for number in range(1, count + 1):
        parent = data.draw(st.sampled_from([None, 99, *range(1, number)]))
        start = data.draw(st.integers(0, 1_000))
        operation = data.draw(st.sampled_from(["send", "process", "other"]))
        spans.append(Span("s", operation, "x", 7, number, parent, start, start + 5, "p"))
    rows = Trace(tuple(data.draw(st.permutations(spans)))).rows()
    order = [row.span.span_id for row in rows if row.span is not None]

    assert sorted(order) == [*range(1, count + 1)]
    for span in spans:
        if span.parent_id in order:
            assert order.index(span.parent_id) < order.index(span.span_id)
    assert all(row.begin_ms >= 0 and row.length_ms >= 0 for row in rows)


def test_siblings_stand_under_one_another_by_time() -> None:
    """A record that was processed twice shows both, the earlier one first."""
    again = processed()._replace(span_id=3, start=BEGAN + 90_000_000, end=BEGAN + 91_000_000)
    rows = Trace((again, sent(), processed())).rows()

    assert [row.guide + row.label for row in rows] == [
        "send in",
        "├ in/2/7",
        "│ ╰ process in",
        "╰ in/2/7",
        "  ╰ process in",
    ]
    assert [row.begin_ms for row in rows if row.span is not None] == [0.0, 50.0, 90.0]


def test_trace_for_programs() -> None:
    """The JSON of a trace names its id, the record, and each span with parent and times."""
    told: Any = json.loads(json.dumps(as_json(TRACE)))

    assert (told["trace_id"], told["crossing"]) == (f"{7:032x}", "in/2/7")
    first, second = told["spans"]
    assert second["parent_span_id"] == first["span_id"] == f"{1:016x}"
    assert (second["service"], second["start_ms"], second["duration_ms"]) == ("processor", 50, 20)
    assert second["error"] == "invalid at decode"


def tracer(recent: RecentTraces) -> RecordTracer:
    """Return the shipped tracer, which exports to ``recent``."""

    def emit(span: ReadableSpan) -> None:
        recent.export([span])

    return RecordTracer(
        ratio=0.0,
        group="group",
        resource=Resource({"service.name": "processor"}),
        emit=emit,
        per_second=1_000_000,
        clock=lambda: 1_000.0,
    )


def send_spans(recent: RecentTraces, trace_ids: Sequence[int]) -> None:
    """Export the spans of records that were sent with these traces."""
    for trace_id in trace_ids:
        context = SpanContext(trace_id, 1, is_remote=False)
        attributes = {"messaging.operation.name": "send"}
        recent.export([ReadableSpan("send in", context=context, attributes=attributes)])


def process_spans(recent: RecentTraces, trace_ids: Sequence[int]) -> None:
    """Export the spans of a run of records with these traces."""
    count = len(trace_ids)
    headers: Any = [[("traceparent", written(each, 1))] for each in trace_ids]
    many = [*range(count)]
    run = Records(TopicPartition("in", 2), many, [b"k"] * count, [b"v"] * count, many, headers)
    traced = tracer(recent).begin(run)
    traced.end({0: ("invalid", "decode")}, 999.5, (999.0, 999.4), count)


def test_recent_traces_read_what_the_shipped_tracer_writes() -> None:
    """Of a processor's span the record, the service, the failure and the batch's size are kept."""
    recent = RecentTraces()
    process_spans(recent, [7, 8])
    send_spans(recent, [7])
    (trace,) = recent.crossed()
    span = trace.spans[0]

    assert (span.name, span.operation, span.service) == ("process in", "process", "processor")
    assert (span.trace_id, span.parent_id, span.place) == (7, 1, "in/2/0")
    assert (span.error, span.batch) == ("invalid at decode", 2)
    assert (span.end - span.start) / 1e6 == 500.0


def test_recent_traces_are_bounded() -> None:
    """Only the last traces are kept, and of one trace not any number of spans."""
    recent = RecentTraces(keep=5)
    send_spans(recent, range(1, 21))
    process_spans(recent, range(1, 21))
    send_spans(recent, range(16, 21))
    for _ in range(100):
        process_spans(recent, range(16, 21))

    assert [trace.spans[0].trace_id for trace in recent.crossed()] == [16, 17, 18, 19, 20]
    assert {len(trace.spans) for trace in recent.crossed()} == {SPANS_KEPT}


def test_failures_without_a_sender_push_nothing_out() -> None:
    """What is traced only because it failed cannot cross Kafka, and takes nobody's place."""
    recent = RecentTraces(keep=1)
    send_spans(recent, [7])
    process_spans(recent, [7])
    for _ in range(5):
        run = tracer(recent).begin(Records(EVENT.source, [0], [b"k"], [b"v"], [0]))
        run.failed(0)
        run.end({0: ("invalid", "decode")}, 999.5, (999.0, 999.4), 1)

    assert [trace.spans[0].trace_id for trace in recent.crossed()] == [7]


@pytest.mark.parametrize(
    ("rate", "ratio"), [(1_000.0, 0.05), (10.0, 1.0), (1e6, DEFAULT_RATIO), (None, DEFAULT_RATIO)]
)
def test_some_records_are_traced_in_every_second(rate: float | None, ratio: float) -> None:
    """The slower the demo, the larger the share that is traced, but never less than usual."""
    assert ratio_at(rate) == pytest.approx(ratio)


@pytest.fixture
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRACES_SAMPLER", "TRACES_SAMPLER_ARG", "TRACES_EXPORTER", "SDK_DISABLED"):
        monkeypatch.delenv(f"OTEL_{name}", raising=False)
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)


@pytest.mark.usefixtures("_no_variables")
def test_demo_traces_both_sides_in_memory() -> None:
    """Spans of both shipped tracers end up in one trace, each with its own service."""
    with tracing(Settings(), "in", 10.0, LogBook()) as traced:
        assert traced.records is not None
        begun = traced.sends.begin(b"k", b"v", 1_000)
        assert begun is not None
        begun.finished("", 2, 7)
        run = Records(
            EVENT.source, [7], [b"k"], [b"v"], [1_000], [[("traceparent", begun.traceparent)]]
        )
        traced.records.begin(run).end({}, 1.0, (1.0, 1.0), 1)
    (trace,) = traced.recent.crossed()

    assert trace.crossing == str(EVENT)
    assert {span.service for span in trace.spans} == {
        "lanternpipe-producer",
        "lanternpipe-processor",
    }


@pytest.mark.usefixtures("_no_variables")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
    ],
)
def test_the_standard_variables_count_in_the_demo(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """What the standard variables say of sampling goes before the demo's own share."""
    monkeypatch.setenv(variable, value)
    with tracing(Settings(), "in", 10.0, LogBook()) as traced:
        assert traced.sends.begin(b"k", b"v", 1_000) is None


@pytest.mark.usefixtures("_no_variables")
def test_signals_without_traces_trace_nothing() -> None:
    """Without `traces` among the signals neither side traces."""
    settings = Settings.model_validate({"telemetry": {"signals": "metrics,logs"}})
    with tracing(settings, "in", 10.0, LogBook()) as traced:
        assert traced.records is None
        assert traced.sends.begin(b"k", b"v", 1_000) is None


def test_an_unknown_sampler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler that we do not know is refused before anything starts."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "xray")
    with (
        pytest.raises(ConfigError, match="xray"),
        tracing(Settings(), "in", 10.0, LogBook()),
    ):
        pass
