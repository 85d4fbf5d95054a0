"""The yardstick under OpenTelemetry's own instrumentation for confluent-kafka, as its readme says.

Runs in an environment of its own (``requirements/stock.lock``): the instrumentation needs an SDK
of its own age. One span for each batch that is consumed, linked to its records, and one for each
record that is produced; what the bare loop leaves out stays left out.
"""

from __future__ import annotations

import importlib
import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased


def main(servers: str, source: str, target: str, group: str, ratio: str) -> None:
    """Process until killed."""
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(float(ratio))))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    ConfluentKafkaInstrumentor().instrument(tracer_provider=provider)
    # Only now, or it would hold the clients as they were before.
    importlib.import_module("benchmarks.yardstick").run(servers, source, target, group)


if __name__ == "__main__":
    main(*sys.argv[1:])
