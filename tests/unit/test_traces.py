"""Spans of records, made by the batch; and their way out."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from lanternpipe.records import Headers, Records, TopicPartition
from lanternpipe.telemetry.sampling import parsed, written
from lanternpipe.telemetry.sending import SendTracer
from lanternpipe.telemetry.spans import QUEUE_SPANS, SpanQueue
from lanternpipe.telemetry.traces import MOST_LINKS, RecordTracer
from lanternpipe.testing.doubles import Clock, LogBook

NOW = 1_000.0
HERE = TopicPartition("in", 3)


def run_of(headers: list[Headers | None], values: list[bytes | None] | None = None) -> Records:
    """Return a run of records with these headers."""
    count = len(headers)
    stamps = [round(NOW * 1_000) - 500] * count
    offsets = [*range(10, 10 + count)]
    keys: list[bytes | None] = [b"k"] * count
    return Records(HERE, offsets, keys, values or [b"v"] * count, stamps, headers)


class Bench:
    """A tracer whose spans are kept."""

    def __init__(self, ratio: float = 0.0, per_second: int = 1_000) -> None:
        self.spans: list[ReadableSpan] = []
        self.clock = Clock(NOW)
        self.tracer = RecordTracer(
            ratio=ratio,
            group="group",
            resource=Resource({"service.name": "tests"}),
            emit=self.spans.append,
            per_second=per_second,
            rng=random.Random(1),
            clock=self.clock,
        )

    def trace(self, records: Records) -> None:
        """Trace a run of which nothing fails."""
        self.tracer.begin(records).end({}, NOW, (NOW, NOW), 1_000)

    def named(self, count: str) -> list[ReadableSpan]:
        """Return spans of batches or of records."""
        return [
            span
            for span in self.spans
            if ("messaging.batch.message_count" in (span.attributes or {})) is (count == "batch")
        ]


def test_nothing_is_made_for_what_is_not_traced() -> None:
    """A run without traced records stays the very same object, and makes no span."""
    bench, records = Bench(), run_of([None, [("a", b"1")]])
    run = bench.tracer.begin(records)
    assert run.records is records
    assert run.end({}, NOW, (NOW, NOW), 1_000) is None
    assert bench.spans == []


def test_the_span_of_a_record() -> None:
    """It is a child of the record's context, linked to its batch, and named by the conventions."""
    bench = Bench()
    run = bench.tracer.begin(run_of([[("traceparent", written(7, 8)), ("a", b"1")], None]))
    carried = run.records.headers
    assert carried is not None
    assert carried[1] is None
    run.end({}, NOW - 0.2, (NOW - 0.4, NOW - 0.3), 2)

    (span,) = bench.named("record")
    poll, batch = bench.named("batch")
    assert span.context is not None
    assert batch.context is not None
    assert carried[0] == [("a", b"1"), ("traceparent", written(7, span.context.span_id))]
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id, span.parent.is_remote) == (7, 8, True)
    assert [link.context for link in span.links] == [batch.context]
    assert (span.name, span.kind, span.status.status_code) == (
        "process in",
        SpanKind.CONSUMER,
        StatusCode.UNSET,
    )
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "in",
        "messaging.destination.partition.id": "3",
        "messaging.consumer.group.name": "group",
        "messaging.kafka.offset": 10,
        "pipeline.event.id": "in/3/10",
    }
    assert (span.start_time, span.end_time) == (round((NOW - 0.2) * 1e9), round(NOW * 1e9))
    assert (poll.name, poll.kind, poll.parent) == ("poll in", SpanKind.CLIENT, None)
    assert (poll.start_time, poll.end_time) == (
        round((NOW - 0.4) * 1e9),
        round((NOW - 0.3) * 1e9),
    )
    assert (poll.attributes or {})["messaging.batch.message_count"] == 2
    assert batch.context.trace_id not in {7, poll.context.trace_id if poll.context else 0}
    assert [link.context.span_id for link in batch.links] == [8]


def test_a_failure_is_always_traced() -> None:
    """A record that fails gets a context for its dead letter and a span with kind and stage."""
    bench = Bench()
    run = bench.tracer.begin(run_of([None, None], [b"v", None]))
    context = parsed(run.failed(1))
    assert context is not None
    assert run.failed(1) == run.failed(1)
    run.end({11: ("invalid", "decode")}, NOW, (NOW, NOW), 1_000)

    (span,) = bench.named("record")
    attributes = dict(span.attributes or {})
    assert span.context is not None
    assert span.context.span_id == context.span_id
    assert span.status.status_code is StatusCode.ERROR
    assert (attributes["error.type"], attributes["pipeline.stage"]) == ("invalid", "decode")
    assert attributes["messaging.kafka.message.tombstone"] is True


def test_an_exemplar_tells_age_and_trace() -> None:
    """One traced record of a run stands for the others in the histogram of ages."""
    bench = Bench()
    run = bench.tracer.begin(run_of([[("traceparent", written(7, 8))]]))
    found = run.end({}, NOW, (NOW, NOW), 1)
    assert found is not None
    assert (found.value, found.at, found.trace_id) == (0.5, NOW, f"{7:032x}")


def test_spans_are_capped_and_failures_have_an_allowance_of_their_own() -> None:
    """Of too many in a second some get no span, which is counted; failures still get theirs."""
    bench = Bench(per_second=3)
    given: list[Headers | None] = [[("traceparent", written(7, n + 1))] for n in range(10)]
    run = bench.tracer.begin(run_of(given))
    failures = {}
    for place in (1, 5, 6, 7, 8):
        run.failed(place)
        failures[10 + place] = ("bug", "transform")
    run.end(failures, NOW, (NOW, NOW), 1_000)
    offsets = [(span.attributes or {})["messaging.kafka.offset"] for span in bench.named("record")]
    assert offsets == [10, 11, 12, 15, 16, 17]
    assert {span.context.trace_id for span in bench.named("record") if span.context} == {7}
    assert bench.tracer.capped == 4
    assert run.records.headers is not None
    assert run.records.headers[9] == given[9], "who comes later goes on from where we came in"


def test_a_record_without_span_goes_on_as_it_came() -> None:
    """What gets no span carries no context of ours, which would name a parent that nobody has."""
    bench, records = Bench(ratio=1.0, per_second=0), run_of([None])
    run = bench.tracer.begin(records)
    assert run.end({}, NOW, (NOW, NOW), 1_000) is None
    assert not bench.spans
    assert bench.tracer.capped == 1
    assert run.records is records


def test_nothing_is_chosen_once_a_second_is_spent() -> None:
    """Until the next second only what records carry is obeyed; the ratio tells who is left out."""
    bench = Bench(ratio=0.5, per_second=1)
    given: Headers = [("traceparent", written(7, 8))]
    bench.trace(run_of([given]))
    bench.trace(run_of([None] * 100))
    assert len(bench.named("record")) == 1
    assert bench.tracer.capped == 50
    bench.trace(run_of([given, *[None] * 9]))
    assert bench.tracer.capped == 56
    bench.clock.now += 1
    bench.trace(run_of([given]))
    assert len(bench.named("record")) == 2


def test_traces_from_elsewhere_come_first() -> None:
    """Where spans are short, a trace that others have begun is gone on with before a new one."""
    bench = Bench(ratio=1.0, per_second=1)
    bench.trace(run_of([None, None, [("traceparent", written(7, 8))]]))
    (span,) = bench.named("record")
    assert (span.attributes or {})["messaging.kafka.offset"] == 12


def test_spans_of_several_runs_as_one() -> None:
    """Each record's span names its own partition; that of the batch names none."""
    bench = Bench(ratio=1.0)
    there = replace(run_of([None]), source=TopicPartition("in", 4))
    bench.trace(Records.joined([run_of([None]), there]))
    told = [span.attributes or {} for span in bench.named("record")]
    assert [each["messaging.destination.partition.id"] for each in told] == ["3", "4"]
    assert [each["pipeline.event.id"] for each in told] == ["in/3/10", "in/4/10"]
    assert not any(
        "messaging.destination.partition.id" in (span.attributes or {})
        for span in bench.named("batch")
    )


def test_links_are_capped_and_counted() -> None:
    """A batch's span has room for so many links; the others are counted."""
    bench = Bench()
    many = MOST_LINKS + 5
    run = bench.tracer.begin(run_of([[("traceparent", written(7, n + 1))] for n in range(many)]))
    run.end({}, NOW, (NOW, NOW), 1_000)
    assert {len(span.links) for span in bench.named("batch")} == {MOST_LINKS}
    assert bench.tracer.links_omitted == 5


def test_no_context_is_left_behind() -> None:
    """After a run there is no current span, so that nothing else becomes its child."""
    Bench(ratio=1.0).tracer.begin(run_of([None])).end({}, NOW, (NOW, NOW), 1_000)
    assert not trace.get_current_span().get_span_context().is_valid


class Collecting(SpanExporter):
    """An exporter that succeeds, fails or hangs."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.works = True
        self.goes_on = threading.Event()
        self.goes_on.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take a batch."""
        self.goes_on.wait(30)
        self.batches.append(len(spans))
        return SpanExportResult.SUCCESS if self.works else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Stop hanging."""
        self.goes_on.set()


SPAN = ReadableSpan("x")


def test_what_waits_is_delivered_at_the_end() -> None:
    """Closing delivers all spans that were taken."""
    exporter = Collecting()
    spans = SpanQueue(exporter, LogBook())
    for _ in range(700):
        spans(SPAN)
    spans.close(30.0)
    assert (spans.exported, spans.dropped, sum(exporter.batches)) == (700, 0, 700)


def test_a_hanging_collector_costs_spans_and_no_time() -> None:
    """While an export hangs the queue fills, further spans are dropped, and closing ends."""
    exporter, log = Collecting(), LogBook()
    exporter.goes_on.clear()
    spans = SpanQueue(exporter, log)
    for _ in range(QUEUE_SPANS * 3):
        spans(SPAN)
    spans.close(0.1)
    assert spans.dropped >= QUEUE_SPANS
    assert len(log.named("traces_not_delivered")) == 1


def test_a_slow_collector_has_recovered_when_nothing_is_lost_any_more() -> None:
    """A loss while an export goes on is said at once; the recovery after one without a loss."""
    exporter, log = Collecting(), LogBook()
    exporter.goes_on.clear()
    spans = SpanQueue(exporter, log)
    while not spans.dropped:
        spans(SPAN)
    assert log.named("traces_not_delivered")
    assert not log.named("traces_delivered_again")
    exporter.goes_on.set()
    spans.close(30.0)
    assert spans.exported >= QUEUE_SPANS
    assert len(log.named("traces_not_delivered")) == 1
    assert len(log.named("traces_delivered_again")) == 1


def test_a_refusing_collector_is_said_once() -> None:
    """Spans that are not delivered are counted, and that is said once, as is the recovery."""
    exporter, log = Collecting(), LogBook()
    exporter.works = False
    spans = SpanQueue(exporter, log)
    for _ in range(600):
        spans(SPAN)
    spans.close(30.0)
    assert spans.dropped == 600
    assert len(log.named("traces_not_delivered")) == 1


@pytest.fixture(name="exported")
def _exported() -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_a_send_within_a_callers_span(
    exported: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    """A record sent within a span of the caller is its child, and carries the send's context."""
    provider, exporter = exported
    tracer = provider.get_tracer("caller")
    sending = SendTracer("in", 0.0, provider.get_tracer("tests"))
    with tracer.start_as_current_span("request") as request:
        traced = sending.begin(b"k", b"v", 1)
    assert traced is not None
    traced.finished("", 2, 30)
    request_span, send = sorted(exporter.get_finished_spans(), key=lambda span: span.name)
    assert (request_span.name, send.name, send.kind) == ("request", "send in", SpanKind.PRODUCER)
    assert send.parent == request.get_span_context()
    context = parsed(traced.traceparent)
    assert context is not None
    assert send.context is not None
    assert (context.trace_id, context.span_id) == (send.context.trace_id, send.context.span_id)
    assert (send.attributes or {})["messaging.kafka.offset"] == 30


def test_a_send_that_fails(exported: tuple[TracerProvider, InMemorySpanExporter]) -> None:
    """A record that the broker refuses ends its span with the code."""
    provider, exporter = exported
    traced = SendTracer("in", 1.0, provider.get_tracer("tests")).begin(b"k", b"v", 1)
    assert traced is not None
    traced.finished("MSG_SIZE_TOO_LARGE", -1, -1)
    (send,) = exporter.get_finished_spans()
    assert (send.attributes or {})["error.type"] == "MSG_SIZE_TOO_LARGE"
    assert send.status.status_code is StatusCode.ERROR


def test_a_program_without_tracing_sends_no_context() -> None:
    """Where the program has set up no tracing there is no span whose context could be carried."""
    assert SendTracer("in", 1.0).begin(b"k", b"v", 1) is None


def test_sends_are_capped_and_keep_the_decision(
    exported: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    """Of too many sends in a second some get no span; their records carry the decision on."""
    provider, exporter = exported
    sending = SendTracer("in", 1.0, provider.get_tracer("tests"), per_second=2)
    all_traced = [sending.begin(b"k", b"v", 1_000 + n) for n in range(5)]
    for traced in all_traced:
        assert traced is not None
        context = parsed(traced.traceparent)
        assert context is not None
        assert context.sampled
        traced.finished("", 0, 0)
    assert (len(exporter.get_finished_spans()), sending.capped) == (2, 3)
