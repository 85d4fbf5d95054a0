"""Tracing as the settings and the standard ``OTEL_`` variables ask for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from lanternpipe.errors import ConfigError
from lanternpipe.ports import Log
from lanternpipe.settings import TelemetrySettings
from lanternpipe.telemetry.sampling import ratio_from
from lanternpipe.telemetry.sending import SendTracer
from lanternpipe.telemetry.spans import SpanQueue, quiet_exporter
from lanternpipe.telemetry.traces import RecordTracer
from lanternpipe.version import VERSION

CLOSE_SECONDS = 2.0


class Traces(NamedTuple):
    """Where spans go and what they belong to.

    Attributes:
        spans: Their way out.
        resource: What they belong to.
        ratio: Share of records to trace.
        per_second: Most records to trace in a second.
    """

    spans: SpanQueue
    resource: Resource
    ratio: float
    per_second: int

    def of_records(self, group: str) -> RecordTracer:
        """Return what traces the records of a processor."""
        return RecordTracer(
            ratio=self.ratio,
            group=group,
            resource=self.resource,
            emit=self.spans,
            per_second=self.per_second,
        )

    def of_sends(self, topic: str) -> SendTracer:
        """Return what traces the records of a producer."""
        provider = TracerProvider(sampler=ALWAYS_ON, resource=self.resource)
        provider.add_span_processor(_Handing(self.spans))
        tracer = provider.get_tracer("lanternpipe", VERSION)
        return SendTracer(topic, self.ratio, tracer, callers=False, per_second=self.per_second)


@contextmanager
def traces(settings: TelemetrySettings, service: str, log: Log) -> Iterator[Traces | None]:
    """Export spans by OTLP over HTTP within the block; None where traces are switched off.

    Raises:
        ConfigError: A standard variable has a value that we do not know.
    """
    ratio = ratio_from(os.environ)
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") or "otlp"
    if exporter not in {"otlp", "none"}:
        raise ConfigError(f"OTEL_TRACES_EXPORTER={exporter} is not supported: give otlp or none")
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none"
    if off or "traces" not in settings:
        yield None
        return
    quiet_exporter(lambda text: log("debug", "telemetry_log", text=text))
    resource = Resource.create({"service.version": VERSION}).merge(
        Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or service})
    )
    spans = SpanQueue(OTLPSpanExporter(), log)
    try:
        yield Traces(spans, resource, ratio, settings.spans_per_second)
    finally:
        spans.close(CLOSE_SECONDS)


class _Handing(SpanProcessor):
    """Hands finished spans on."""

    def __init__(self, spans: SpanQueue) -> None:
        self._spans = spans

    def on_end(self, span: ReadableSpan) -> None:
        """Hand the span on."""
        self._spans(span)
