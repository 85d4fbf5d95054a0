"""One trace as a tree of its spans, with the places where it crossed Kafka. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SHORT_ID = 8  # characters of a trace id that tell it from others on a screen


class Span(NamedTuple):
    """What is shown of a span.

    Attributes:
        name: Such as ``send user-login``.
        operation: Its ``messaging.operation.name``, or nothing.
        service: Who made it.
        trace_id: The trace that it belongs to.
        span_id: Its own.
        parent_id: Of the span that caused it; None for none.
        start: Nanoseconds since 1970.
        end: As ``start``.
        place: The record in Kafka that it wrote or read, as ``topic/partition/offset``, or nothing.
        error: What went wrong and at which stage, or nothing.
        batch: How many records were in the batch that it links to; None where there is none.
    """

    name: str
    operation: str
    service: str
    trace_id: int
    span_id: int
    parent_id: int | None
    start: int
    end: int
    place: str = ""
    error: str = ""
    batch: int | None = None


class Row(NamedTuple):
    """A line of the tree: a span, or a record in Kafka between two spans.

    Attributes:
        guide: What leads from the line's parent to it.
        span: The span; None for a record.
        place: The record; nothing for a span.
        begin_ms: When the span began, from the beginning of the trace on.
        length_ms: How long the span took.
    """

    guide: str
    span: Span | None
    place: str = ""
    begin_ms: float = 0.0
    length_ms: float = 0.0

    @property
    def label(self) -> str:
        """The line's name."""
        return self.place if self.span is None else self.span.name

    @property
    def service(self) -> str:
        """Where it happened."""
        return "Kafka" if self.span is None else self.span.service


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace, as far as its spans are known.

    Attributes:
        spans: At least one, all with the same trace id.
    """

    spans: tuple[Span, ...]

    @property
    def trace_id(self) -> str:
        """The id as headers and backends write it."""
        return f"{self.spans[0].trace_id:032x}"

    @property
    def milliseconds(self) -> float:
        """From the first beginning to the last end."""
        return (max(span.end for span in self.spans) - self._began) / 1e6

    @property
    def crossing(self) -> str:
        """The record by which it crossed Kafka, from a span that wrote it to one that read it."""
        sent = {span.span_id for span in self.spans if span.operation == "send"}
        crossings = (
            span.place
            for span in self.spans
            if span.operation == "process" and span.parent_id in sent
        )
        return next(crossings, "")

    @property
    def remark(self) -> str:
        """What went wrong, and in which company the record was processed."""
        errors = [span.error for span in self.spans if span.error]
        batches = [span.batch for span in self.spans if span.batch is not None]
        company = [f"in a batch of {count:,}" for count in batches[-1:]]
        return ", ".join([*errors[:1], *company])

    @property
    def _began(self) -> int:
        return min(span.start for span in self.spans)

    def rows(self) -> list[Row]:
        """Return the tree line by line: parents before children, siblings by time."""
        known = {span.span_id for span in self.spans}
        children: dict[int | None, list[Span]] = {}
        for span in sorted(self.spans, key=lambda each: (each.start, each.end)):
            parent = span.parent_id if span.parent_id in known else None
            children.setdefault(parent, []).append(span)
        return list(self._below(None, children, ""))

    def _below(
        self, parent: Span | None, children: dict[int | None, list[Span]], lead: str
    ) -> Iterator[Row]:
        below: Sequence[Span] = children.get(None if parent is None else parent.span_id, ())
        for span in below:
            guide, next_lead = lead, lead
            if parent is not None:
                last = span is below[-1]
                guide, next_lead = lead + ("╰ " if last else "├ "), lead + ("  " if last else "│ ")
                if parent.operation == "send" and span.operation == "process":
                    yield Row(guide, None, span.place)
                    guide, next_lead = next_lead + "╰ ", next_lead + "  "
            begin, length = (span.start - self._began) / 1e6, (span.end - span.start) / 1e6
            yield Row(guide, span, "", begin, length)
            yield from self._below(span, children, next_lead)


def as_json(trace: Trace) -> dict[str, object]:
    """Return the trace for programs."""
    return {
        "trace_id": trace.trace_id,
        "duration_ms": round(trace.milliseconds, 3),
        "crossing": trace.crossing,
        "spans": [
            {
                "name": span.name,
                "service": span.service,
                "span_id": f"{span.span_id:016x}",
                "parent_span_id": None if span.parent_id is None else f"{span.parent_id:016x}",
                "start_ms": round(row.begin_ms, 3),
                "duration_ms": round(row.length_ms, 3),
                "record": span.place,
                "error": span.error,
            }
            for row in trace.rows()
            if (span := row.span) is not None
        ],
    }
