"""A record that the demo follows, as the tests of its parts need it."""

from __future__ import annotations

from lanternpipe.demo.following import Followed
from lanternpipe.demo.trace_tree import Span, Trace
from lanternpipe.headers import ORIGIN
from lanternpipe.ops.journey import Found, Journey
from lanternpipe.records import Place
from lanternpipe.telemetry.sampling import written

BEGAN = 1_000_000_000_000
EVENT = Place("in", 2, 7)


def sent(trace_id: int = 7, *, at: Place = EVENT, length_ms: int = 40) -> Span:
    """Return the span of a record that was sent."""
    end = BEGAN + length_ms * 1_000_000
    return Span("send in", "send", "producer", trace_id, 1, None, BEGAN, end, str(at))


def processed(
    trace_id: int = 7, *, at: Place = EVENT, end_ms: int = 70, error: str = "", parent: int = 1
) -> Span:
    """Return the span of a record that was processed, 20 ms long at most."""
    begin, end = (BEGAN + max(50, end_ms - 20) * 1_000_000, BEGAN + end_ms * 1_000_000)
    return Span(
        "process in", "process", "processor", trace_id, 2, parent, begin, end, str(at), error, 12
    )


def trace_of(trace_id: int = 7, *, at: Place = EVENT, end_ms: int = 70, error: str = "") -> Trace:
    """Return a trace that crossed Kafka."""
    return Trace((sent(trace_id, at=at), processed(trace_id, at=at, end_ms=end_ms, error=error)))


def output_of(trace_id: int = 7, *, key: bytes = b"k", stamp: int = 5_000) -> Found:
    """Return an output that carries a trace."""
    headers = [("traceparent", written(trace_id, 2))]
    return Found(Place("out", 1, 3), stamp, key, b"output", headers)  # type: ignore[arg-type]


def letter_of(event: Place = EVENT) -> Found:
    """Return the dead letter of an event."""
    told = [(name, str(part).encode()) for name, part in zip(ORIGIN, event, strict=True)]
    headers: list[tuple[str, bytes | None]] = [*told, ("pipeline-error-kind", b"invalid")]
    return Found(Place("dlq", 0, 1), 5_060, b"k", b"event", headers)


JOURNEY = Journey(
    EVENT,
    Found(EVENT, 5_000, b"k", b"event", [("traceparent", written(7, 1))]),
    "group",
    100,
    letters=[letter_of()],
)
TRACE = trace_of(error="invalid at decode")
FOLLOWED = Followed(TRACE, JOURNEY)
