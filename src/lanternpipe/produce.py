"""What ``lanternpipe produce`` runs: sample events, or given lines, to the input topic."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from lanternpipe.app import wait_for_topics
from lanternpipe.codec.json import JsonCodec
from lanternpipe.errors import DeliveryError, LanternpipeError, RetriableFailure
from lanternpipe.pipeline import Pipeline, RawRecord, Topic
from lanternpipe.producer import EventProducer
from lanternpipe.publish import (
    build_sample,
    client_samples,
    log_samples,
    sent_samples,
    span_samples,
)
from lanternpipe.runtime.endpoint import serve
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.lifecycle import StopRequest
from lanternpipe.runtime.produce import produce
from lanternpipe.settings import Settings
from lanternpipe.telemetry.logs import PipelineLog
from lanternpipe.telemetry.metrics import Sample, open_metrics
from lanternpipe.telemetry.sending import SendTracer
from lanternpipe.telemetry.setup import traces
from lanternpipe.topology import topic_names


@dataclass(frozen=True, slots=True)
class ProduceOptions:
    """What ``lanternpipe produce`` is asked for.

    Attributes:
        rate: Events per second; None for as fast as possible.
        count: How many in all; None for no end.
        seconds: For how long; None for no end.
        poison: Share of broken records, 0 to 1.
        filtered: Share of events that the transform filters out, 0 to 1.
        large: Whether poison may be a value of 900 kB.
        seed: Of the samples.
        lines: JSON lines to send instead of samples.
        serve: Whether to serve metrics and probes.
    """

    rate: float | None
    count: int | None
    seconds: float | None
    poison: float
    filtered: float
    large: bool
    seed: int
    lines: Iterable[bytes] | None = None
    serve: bool = False


def produce_events(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    options: ProduceOptions,
    log: PipelineLog,
    progress: Callable[[EventProducer[Any], float], None],
) -> EventProducer[Any]:
    """Send sample events, or given lines, to the input topic; return the producer, closed.

    Raises:
        DeliveryError: An event could not be delivered.
        LanternpipeError: It cannot start, or a given line is not an event of the topic.
    """
    topic = replace(pipeline.input, name=topic_names(settings, pipeline).input)
    stop = StopRequest(settings.shutdown_grace)
    with ExitStack() as stack:
        stack.enter_context(stop.on_signals())
        told = stack.enter_context(traces(settings.telemetry, "lanternpipe-producer", log))
        tracer = told.of_sends(topic.name) if told else SendTracer(topic.name, 0.0)
        producer = EventProducer(
            topic,
            settings.kafka,
            full_timeout=None,
            background=False,
            log=log,
            tracing=tracer,
            statistics=options.serve,
        )
        # Waiting for a broker is no reason to be started again, and to lose what waits with us.
        health = Health(
            stuck_after=math.inf,
            log=log,
            until_ready="has not found its topic yet",
            once_ready="sends",
        )
        if options.serve:
            http = settings.http

            def shown() -> Iterator[Sample]:
                if "metrics" in settings.telemetry:
                    yield from _shown(topic.name, producer, log)
                    yield from span_samples(told.spans, tracer.capped) if told else ()

            port = stack.enter_context(serve(http, health, open_metrics(shown), log))
            log("info", "serving", metrics=http.metrics_url(port))
        began = time.monotonic()

        def give_up() -> bool:
            late = options.seconds is not None and time.monotonic() - began > options.seconds
            return late or stop()

        if not wait_for_topics(settings, pipeline, log, give_up, sent_to=topic.name):
            brokers = settings.kafka.bootstrap_servers
            raise RetriableFailure("_TIMED_OUT", f"{brokers}: no broker answered; nothing was sent")
        health.joined()

        def send(sample: Any) -> None:
            if type(sample) is RawRecord:
                producer.send_raw(sample.value, sample.key)
            else:
                producer.send(sample)

        def tell(_: int, elapsed: float) -> None:
            producer.serve()
            progress(producer, elapsed)

        try:
            produce(
                _to_send(options, pipeline, topic),
                send,
                rate=options.rate,
                count=options.count,
                seconds=options.seconds,
                stopping=stop,
                progress=tell,
                # A report that waits to be served would make its span last as long.
                pause=producer.serve,
            )
        finally:
            undelivered = producer.close(settings.shutdown_grace)
    if undelivered or producer.failed:
        raise DeliveryError(
            f"{producer.failed} events were refused and {undelivered} not acknowledged "
            f"of {producer.sent} sent to {topic.name}"
        )
    return producer


def _shown(topic: str, producer: EventProducer[Any], log: PipelineLog) -> Iterator[Sample]:
    yield build_sample()
    yield from sent_samples(topic, producer.acknowledged, producer.failures.copy())
    yield from client_samples({"producer": producer.statistics.figures()})
    yield from log_samples(log)


def _to_send(
    options: ProduceOptions, pipeline: Pipeline[Any, Any], topic: Topic[Any]
) -> Iterator[Any]:
    if options.lines is not None:
        return events_of_lines(options.lines, topic)
    return pipeline.samples(
        seed=options.seed,
        filtered=options.filtered,
        poison=options.poison,
        large=options.large,
        clock=time.time,
    )


def events_of_lines(lines: Iterable[bytes], topic: Topic[Any]) -> Iterator[Any]:
    """Yield the events of JSON lines; blank lines are passed over.

    Raises:
        LanternpipeError: A line is not an event of the topic; the message tells its number.
    """
    codec = JsonCodec(topic.event)
    for number, line in enumerate(lines, start=1):
        if not (text := line.strip()):
            continue
        try:
            yield codec.decode(text)
        except Exception as error:
            why = codec.explain(text, error)
            raise LanternpipeError(
                f"line {number} is no {topic.event.__name__}: {why.reason}"
                + (f", field {why.field}" if why.field else "")
                + (f": {why.limit}" if why.limit else "")
                + "; the lines before it were sent"
            ) from error
