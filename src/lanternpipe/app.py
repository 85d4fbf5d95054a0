"""The composition root: settings and the user's pipeline in, running parts out."""

from __future__ import annotations

import hashlib
import importlib
import platform
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from lanternpipe.codec.json import JsonCodec
from lanternpipe.environment import load_app_settings, variables
from lanternpipe.errors import ConfigError, LanternpipeError, RetriableFailure
from lanternpipe.kafka.admin import LogEnds, wait_for_broker
from lanternpipe.kafka.clients import CLIENT_VERSION
from lanternpipe.kafka.config import (
    at_least_once_config,
    client_config,
    consumer_config,
    transactional_config,
)
from lanternpipe.kafka.consumer import RecordConsumer
from lanternpipe.kafka.producer import RecordProducer, TransactionalProducer
from lanternpipe.kafka.stats import StatisticsWatch
from lanternpipe.kafka.topics import verify
from lanternpipe.pipeline import Pipeline, Topic
from lanternpipe.ports import Log, Source, Tracing
from lanternpipe.publish import Identity, log_samples, samples, span_samples
from lanternpipe.runtime.batch import OutputTopic, Planner
from lanternpipe.runtime.beside import repeatedly
from lanternpipe.runtime.commit import AtLeastOnce, Committer, ExactlyOnce
from lanternpipe.runtime.deadletter import DeadLetters
from lanternpipe.runtime.endpoint import serve
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.interval import CommitInterval
from lanternpipe.runtime.lag import Ends, LagWatch
from lanternpipe.runtime.lifecycle import StopRequest
from lanternpipe.runtime.measure import Measures
from lanternpipe.runtime.process import Processor
from lanternpipe.runtime.watchdog import Deadline
from lanternpipe.runtime.watermarks import HIGH_EVERY, WatermarkWatch
from lanternpipe.settings import Settings
from lanternpipe.telemetry import catalogue
from lanternpipe.telemetry.logs import PipelineLog
from lanternpipe.telemetry.metrics import Sample, open_metrics
from lanternpipe.telemetry.setup import traces
from lanternpipe.topology import (
    TopicNames,
    byte_limits,
    dead_letter_bytes,
    declared_topics,
    topic_names,
)
from lanternpipe.version import VERSION

# Longer than any single call into the client is supposed to take (flush: 30 s, and a transaction
# call was seen to take 36 s with a broker down).
HUNG_SECONDS = 60.0
LEAVE_SECONDS = 3.0


def load_pipeline(name: str) -> Pipeline[Any, Any]:
    """Import the user's pipeline: a package that has ``pipeline.py``, or ``module:name``.

    Raises:
        ConfigError: There is none by that name.
    """
    module_name, _, attribute = name.partition(":")
    if not attribute:
        module_name, attribute = f"{name}.pipeline", "pipeline"
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ModuleNotFoundError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"PIPELINE_APP: {name!r} has no pipeline ({error}); give a package with a module "
            "`pipeline`, or `module:name`"
        ) from error
    if not isinstance(found, Pipeline):
        raise ConfigError(f"PIPELINE_APP: {module_name}.{attribute} is not a lanternpipe.Pipeline")
    return found


@dataclass(frozen=True, slots=True)
class ProcessorApp:
    """A processor with all its parts, ready to run."""

    processor: Processor
    committer: Committer
    health: Health
    lag: LagWatch

    watermarks: WatermarkWatch
    statistics: Mapping[str, StatisticsWatch]
    identity: Identity

    def samples(self) -> Iterator[Sample]:
        """Yield what the processor knows of itself, for metrics."""
        return samples(
            self.identity,
            self.processor.sight,
            self.lag.current(),
            self.watermarks.known,
            self.lag.last_stable,
            self.lag.asked_at,
            {name: told.figures() for name, told in self.statistics.items()},
            time.time(),
        )


def build_processor(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    log: Log,
    *,
    ends: Ends | None = None,
    tracing: Tracing | None = None,
) -> ProcessorApp:
    """Build a processor; nothing is connected to before it runs.

    Args:
        settings: What is in force.
        pipeline: The user's.
        log: Writes log lines.
        ends: Where partitions end; by default asked of the broker by an admin client.
        tracing: Decides which records are traced; by default none.
    """
    names = topic_names(settings, pipeline)
    health = Health(stuck_after=HUNG_SECONDS * 2, log=log)
    consumer = RecordConsumer(
        consumer_config(settings.kafka, instance=settings.instance),
        [names.input],
        log=log,
        waiting=health.wait,
    )
    measures = Measures(ages="metrics" in settings.telemetry)

    def wait_for_room() -> None:
        measures.phases.enter("backpressure")
        health.beat()

    sink = _sink(settings, pipeline, log, wait_for_room)
    committer = _committer(settings, sink, consumer, health)
    processor = Processor(
        source=consumer,
        committer=committer,
        planner=_planner(settings, pipeline, names),
        app_settings=load_app_settings(pipeline.settings),
        interval=CommitInterval(settings.commit.shortest, settings.commit.longest),
        start=settings.start,
        group=settings.kafka.group_id,
        batch_records=settings.batch_records,
        # The rest of the transaction's time is for what came before, and for the commit.
        batch_seconds=settings.kafka.transaction_timeout / 3,
        health=health,
        log=log,
        measures=measures,
        tracing=tracing,
    )
    positions = processor.work.positions.snapshot
    connection = client_config(settings.kafka)
    ends = ends or LogEnds(connection, log=log)
    logs = LogEnds(connection, log=log)  # its own client: each is used by one thread
    return ProcessorApp(
        processor,
        committer,
        health,
        LagWatch(ends, positions, on_answer=health.answered),
        WatermarkWatch(logs, positions, names.dead_letters),
        {"consumer": consumer.statistics, "producer": sink.statistics},
        _identity(settings, names),
    )


def process(settings: Settings, pipeline: Pipeline[Any, Any], log: PipelineLog) -> None:
    """Run a processor until the process is asked to stop.

    Raises:
        LanternpipeError: It cannot start or cannot go on; the message says why.
    """
    with ExitStack() as stack:
        signals = settings.telemetry
        told = stack.enter_context(traces(signals, "lanternpipe-processor", log))
        tracer = told.of_records(settings.kafka.group_id) if told else None
        app = build_processor(settings, pipeline, log, tracing=tracer)

        def stop_asked() -> None:
            app.health.stopping()
            log("info", "stopping")

        def shown() -> Iterator[Sample]:
            if "metrics" in signals:
                yield from app.samples()
                yield from log_samples(log)
                if told and tracer:
                    yield from span_samples(told.spans, tracer)

        stop = StopRequest(settings.shutdown_grace, stop_asked)
        stack.enter_context(stop.on_signals())
        render = open_metrics(shown)
        http = settings.http
        port = stack.enter_context(serve(http.host, http.port, app.health, render))
        log(
            "info",
            "processor_starting",
            app=settings.app,
            brokers=settings.kafka.bootstrap_servers,
            group=settings.kafka.group_id,
            delivery=settings.delivery,
            instance=settings.instance,
            metrics=f"http://{http.host}:{port}/metrics",
        )
        if not wait_for_topics(settings, pipeline, log, stop, beat=app.health.beat):
            log("info", "stopped", consumed=0)
            return
        stack.enter_context(app.lag.running())
        if "metrics" in signals:
            stack.enter_context(repeatedly(app.watermarks.refresh, HIGH_EVERY, "watermarks"))
        try:
            app.processor.run(stop)
        except LanternpipeError as error:
            app.health.fatal(str(error))
            # In a thread: the very client that failed may also hang.
            leaving = threading.Thread(target=app.processor.leave, daemon=True)
            leaving.start()
            leaving.join(LEAVE_SECONDS)
            raise
        finally:
            app.committer.close(timeout=2.0)
    # Last of all, behind what the end of the traces has to say.
    outcomes = app.processor.work.outcomes
    log("info", "stopped", consumed=outcomes.consumed, **outcomes.totals())


def wait_for_topics(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    log: Log,
    stopping: Callable[[], bool],
    *,
    beat: Callable[[], None] = lambda: None,
    only: Container[str] | None = None,
) -> bool:
    """Wait for a broker and verify the topics on it; False if asked to stop before.

    Args:
        settings: What is in force.
        pipeline: The user's.
        log: Writes log lines.
        stopping: Whether to give up.
        beat: Called at every attempt.
        only: Names of the topics that matter; by default all.

    Raises:
        TopicError: A topic is missing.
    """
    declared = declared_topics(settings, pipeline)
    wanted = [each for each in declared if not only or each.name in only]
    while True:
        admin = wait_for_broker(
            client_config(settings.kafka), log=log, stopping=stopping, beat=beat
        )
        if admin is None:
            return False
        try:
            warnings = verify(admin, wanted)
        except RetriableFailure:
            continue  # it has just gone away; said once by the next wait
        for warning in warnings:
            log("warning", "topic_differs", text=warning)
        return True


def _identity(settings: Settings, names: TopicNames) -> Identity:
    kafka = settings.kafka
    told = repr([each for each in variables(settings) if each.name != "PIPELINE_INSTANCE"])
    fingerprint = hashlib.sha256(told.encode()).hexdigest()[:12]
    return Identity(
        names.input,
        names.dead_letters,
        kafka.group_id,
        kafka.max_poll_interval,
        config=(settings.app, kafka.group_id, settings.delivery, fingerprint),
        build=(VERSION, platform.python_version(), CLIENT_VERSION, catalogue.SEMCONV),
    )


def _planner(settings: Settings, pipeline: Pipeline[Any, Any], names: TopicNames) -> Planner:
    codec = JsonCodec(pipeline.input.event)

    def output(name: str, topic: Topic[Any]) -> OutputTopic:
        return OutputTopic(name, topic.event, JsonCodec(topic.event).encode, topic.max_bytes)

    return Planner(
        decode=codec.decode,
        explain=codec.explain,
        transform=pipeline.transform,
        output=output(names.output, pipeline.output),
        declared_output=pipeline.output.name,
        also={topic.name: output(topic.name, topic) for topic in pipeline.also},
        dead_letters=DeadLetters(
            names.dead_letters,
            settings.kafka.group_id,
            max_bytes=dead_letter_bytes(pipeline),
            full_detail=settings.deadletter.detail == "full",
        ),
    )


def _sink(
    settings: Settings, pipeline: Pipeline[Any, Any], log: Log, beat: Callable[[], None]
) -> RecordProducer:
    kafka, limits = settings.kafka, byte_limits(pipeline)
    if settings.delivery == "at-least-once":
        return RecordProducer(at_least_once_config(kafka, limits), log=log, beat=beat)
    # Random unless named: nobody else can have it, and nobody can end what it left open.
    suffix = settings.instance or uuid.uuid4().hex[:12]
    config = transactional_config(kafka, limits, transactional_id=f"{kafka.group_id}-{suffix}")
    return TransactionalProducer(config, log=log, beat=beat)


def _committer(
    settings: Settings, sink: RecordProducer, source: Source, health: Health
) -> Committer:
    deadline = Deadline(max(HUNG_SECONDS, 2 * settings.kafka.transaction_timeout + 30))
    if not isinstance(sink, TransactionalProducer):
        return AtLeastOnce(sink, source, deadline=deadline, waiting=health.wait)
    return ExactlyOnce(
        sink,
        source,
        deadline=deadline,
        id_is_shared=settings.instance is not None,
        waiting=health.wait,
    )
