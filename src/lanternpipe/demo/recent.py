"""The demo's backend for traces: the last few, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TypeVar

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from lanternpipe.demo.trace_tree import Span, Trace

TRACES_KEPT = 512  # ten seconds of them, so that some were dead-lettered
SPANS_KEPT = 32  # of one trace

Value = TypeVar("Value")


class RecentTraces(SpanExporter):
    """Keeps the last traces of which both sides may come; several threads may export to it.

    Args:
        keep: How many.
    """

    def __init__(self, keep: int = TRACES_KEPT) -> None:
        self._keep = keep
        self._lock = Lock()
        self._traces: dict[int, list[Span]] = {}
        self._batches: dict[int, int] = {}

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take finished spans."""
        with self._lock:
            for span in spans:
                self._take(span)
        return SpanExportResult.SUCCESS

    def crossed(self) -> list[Trace]:
        """Return the traces that are known on both sides of Kafka, oldest first."""
        with self._lock:
            traces = [Trace(tuple(spans)) for spans in self._traces.values()]
        return [trace for trace in traces if trace.crossing]

    def _take(self, span: ReadableSpan) -> None:
        attributes, context = dict(span.attributes or {}), span.context
        if context is None:
            return
        count = attributes.get("messaging.batch.message_count")
        if isinstance(count, int):
            # A trace of its own, which records only link to; what they show of it is its size.
            _put(self._batches, context.span_id, count, self._keep)
            return
        if span.parent is None and attributes.get("messaging.operation.name") == "process":
            return  # traced only because it failed: it will never have another side
        linked = (self._batches.get(link.context.span_id) for link in span.links)
        batch = next((count for count in linked if count is not None), None)
        kept = self._traces.get(context.trace_id)
        if kept is None:
            kept = []
            _put(self._traces, context.trace_id, kept, self._keep)
        if len(kept) < SPANS_KEPT:
            kept.append(span_of(span, batch))


def span_of(span: ReadableSpan, batch: int | None = None) -> Span:
    """Return what is shown of a finished span.

    Args:
        span: Has a context.
        batch: How many records were in the batch that it links to.
    """
    assert span.context is not None  # only spans that are under way may have none
    told = {name: str(value) for name, value in (span.attributes or {}).items()}
    parts = ("destination.name", "destination.partition.id", "kafka.offset")
    place = [told.get(f"messaging.{part}", "") for part in parts]
    errors = [told[name] for name in ("error.type", "pipeline.stage") if name in told]
    return Span(
        name=span.name,
        operation=told.get("messaging.operation.name", ""),
        service=str(span.resource.attributes.get("service.name", "")),
        trace_id=span.context.trace_id,
        span_id=span.context.span_id,
        parent_id=None if span.parent is None else span.parent.span_id,
        start=span.start_time or 0,
        end=span.end_time or 0,
        place="/".join(place) if all(place) else "",
        error=" at ".join(errors),
        batch=batch,
    )


def _put(kept: dict[int, Value], name: int, value: Value, most: int) -> None:
    while len(kept) >= most:
        del kept[next(iter(kept))]
    kept[name] = value
