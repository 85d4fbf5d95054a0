"""The spans of a producer: one per record that is traced, from ``send`` to its delivery."""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from opentelemetry import trace
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
)

from lanternpipe.settings import SPANS_PER_SECOND
from lanternpipe.telemetry.catalogue import SCHEMA_URL
from lanternpipe.telemetry.sampling import Allowance, decides, threshold, written
from lanternpipe.version import VERSION


class Traced(NamedTuple):
    """A record that is traced.

    Attributes:
        traceparent: What it carries.
        finished: To be called with its fate: an error code or nothing, partition and offset.
    """

    traceparent: bytes
    finished: Callable[[str, int, int], None]


class SendTracer:
    """Decides which records are traced on their way out.

    Within a span of the caller, that span's decision counts; elsewhere the same hash as in the
    processor. Nothing is made for records that are not traced.

    Args:
        topic: Where records go.
        ratio: Share of records to trace where there is no decision yet.
        tracer: Makes spans; by default the one of the program that uses this library.
        callers: Whether there may be spans of a caller; to look for one costs half a microsecond.
        per_second: Most spans in a second; further records carry the decision without a span.

    Attributes:
        capped: Traced records that got no span, because there were too many.
    """

    def __init__(
        self,
        topic: str,
        ratio: float,
        tracer: Tracer | None = None,
        *,
        callers: bool = True,
        per_second: int = SPANS_PER_SECOND,
    ) -> None:
        self.capped = 0
        self._topic = topic
        self._limit = threshold(ratio)
        self._callers = callers
        self._spans = Allowance(per_second)
        self._lock = Lock()
        self._tracer = tracer or trace.get_tracer("lanternpipe", VERSION, schema_url=SCHEMA_URL)

    def begin(self, key: bytes | None, value: bytes | None, create_ms: int) -> Traced | None:
        """Begin the span of a record; None if it is not traced."""
        caller = INVALID_SPAN_CONTEXT
        if self._callers:
            caller = trace.get_current_span().get_span_context()
        if caller.is_valid:
            if not caller.trace_flags.sampled:
                return None
        elif not self._limit or not decides(key, value, create_ms, self._limit):
            return None
        with self._lock:
            granted = self._spans.take(1, create_ms // 1_000)
            self.capped += not granted
        if not granted:
            ids = caller if caller.is_valid else _random_context()
            return Traced(written(ids.trace_id, ids.span_id), lambda *_: None)
        span = self._tracer.start_span(
            f"send {self._topic}",
            kind=SpanKind.PRODUCER,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": self._topic,
            },
        )
        context = span.get_span_context()
        if not context.is_valid:  # the program has no tracing of its own set up
            return None
        if not context.trace_flags.sampled:
            span.end()
            return None

        def finished(error: str, partition: int, offset: int) -> None:
            if error:
                span.set_attribute("error.type", error)
                span.set_status(Status(StatusCode.ERROR, error))
            else:
                span.set_attribute("messaging.destination.partition.id", str(partition))
                span.set_attribute("messaging.kafka.offset", offset)
            span.end()

        return Traced(written(context.trace_id, context.span_id), finished)


def _random_context() -> SpanContext:
    bits = random.getrandbits
    return SpanContext(bits(128) or 1, bits(64) or 1, is_remote=False)
