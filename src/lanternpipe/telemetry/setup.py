"""Tracing as the settings and the standard ``OTEL_`` variables ask for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from lanternpipe.errors import ConfigError
from lanternpipe.ports import Log
from lanternpipe.settings import TelemetrySettings
from lanternpipe.telemetry.catalogue import SCHEMA_URL
from lanternpipe.telemetry.sampling import DEFAULT_RATIO, ratio_from
from lanternpipe.telemetry.sending import SendTracer
from lanternpipe.telemetry.spans import EVERY_SECONDS, SpanQueue, quiet_exporter
from lanternpipe.telemetry.traces import RecordTracer
from lanternpipe.version import VERSION

CLOSE_SECONDS = 2.0
DEFAULT_ENDPOINT = "http://localhost:4318"  # OpenTelemetry's


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
        tracer = provider.get_tracer("lanternpipe", VERSION, schema_url=SCHEMA_URL)
        return SendTracer(topic, self.ratio, tracer, callers=False, per_second=self.per_second)


def takes_spans(seconds: float) -> bool:
    """Tell whether a Collector takes spans; it is sent none.

    Args:
        seconds: How long to wait for its answer.
    """
    quiet_exporter(lambda _: None)
    return OTLPSpanExporter(timeout=seconds).export([]) is SpanExportResult.SUCCESS


@contextmanager
def traces(
    settings: TelemetrySettings,
    service: str,
    log: Log,
    *,
    exporter: SpanExporter | None = None,
    ratio: float = DEFAULT_RATIO,
    every: float = EVERY_SECONDS,
) -> Iterator[Traces | None]:
    """Export spans within the block; None where traces are switched off.

    Args:
        settings: Which signals are wanted.
        service: What the spans belong to, unless a standard variable names it.
        log: Writes log lines.
        exporter: Where spans go; by default to a Collector, by OTLP over HTTP.
        ratio: Share of records to trace where no standard variable tells it.
        every: Seconds for which spans are collected before they are handed on.

    Raises:
        ConfigError: A standard variable has a value that we do not know.
    """
    share = ratio_from(os.environ, ratio)
    wanted = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") or "otlp"
    if wanted not in {"otlp", "none"}:
        raise ConfigError(f"OTEL_TRACES_EXPORTER={wanted} is not supported: give otlp or none")
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or wanted == "none"
    if off or "traces" not in settings:
        yield None
        return
    quiet_exporter(lambda text: log("debug", "telemetry_log", text=text))
    resource = Resource.create({"service.version": VERSION}).merge(
        Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or service})
    )
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (
        os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
    )
    spans = SpanQueue(exporter or OTLPSpanExporter(), log, every=every, endpoint=endpoint)
    try:
        yield Traces(spans, resource, share, settings.spans_per_second)
    finally:
        spans.close(CLOSE_SECONDS)


class _Handing(SpanProcessor):
    """Hands finished spans on."""

    def __init__(self, spans: SpanQueue) -> None:
        self._spans = spans

    def on_end(self, span: ReadableSpan) -> None:
        """Hand the span on."""
        self._spans(span)
