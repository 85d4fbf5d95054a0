"""The composition root: settings and the user's pipeline in, running parts out."""

from __future__ import annotations

import importlib
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from lanternpipe.codec.json import JsonCodec
from lanternpipe.environment import load_app_settings
from lanternpipe.errors import ConfigError, DeliveryError, LanternpipeError, RetriableFailure
from lanternpipe.kafka.admin import LogEnds, wait_for_broker
from lanternpipe.kafka.config import (
    at_least_once_config,
    client_config,
    consumer_config,
    transactional_config,
)
from lanternpipe.kafka.consumer import RecordConsumer
from lanternpipe.kafka.producer import RecordProducer, TransactionalProducer
from lanternpipe.kafka.topics import verify
from lanternpipe.pipeline import Pipeline, RawRecord, Topic
from lanternpipe.ports import Log, Source
from lanternpipe.producer import EventProducer
from lanternpipe.runtime.batch import OutputTopic, Planner
from lanternpipe.runtime.commit import AtLeastOnce, Committer, ExactlyOnce
from lanternpipe.runtime.deadletter import DeadLetters
from lanternpipe.runtime.endpoint import serve
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.interval import CommitInterval
from lanternpipe.runtime.lag import Ends, LagWatch
from lanternpipe.runtime.lifecycle import StopRequest
from lanternpipe.runtime.process import Processor
from lanternpipe.runtime.produce import produce
from lanternpipe.runtime.watchdog import Deadline
from lanternpipe.settings import Settings
from lanternpipe.telemetry.metrics import PartitionLag, Snapshot, open_metrics
from lanternpipe.topology import (
    TopicNames,
    byte_limits,
    dead_letter_bytes,
    declared_topics,
    topic_names,
)

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
    except (ModuleNotFoundError, AttributeError) as error:
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

    def snapshot(self) -> Snapshot:
        """Return what the processor knows of itself, for metrics and the demo's board."""
        positions = self.processor.work.positions
        outcomes = self.processor.work.outcomes
        return Snapshot(
            consumed=outcomes.consumed,
            in_flight=positions.in_flight(),
            outcomes=outcomes.counted.copy(),
            lag={
                (at.topic, at.partition): PartitionLag(*lag)
                for at, lag in self.lag.current().items()
            },
            assigned=len(positions.snapshot()),
        )


def build_processor(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    log: Log,
    *,
    ends: Ends | None = None,
) -> ProcessorApp:
    """Build a processor; nothing is connected to before it runs.

    Args:
        settings: What is in force.
        pipeline: The user's.
        log: Writes log lines.
        ends: Where partitions end; by default asked of the broker by an admin client.
    """
    names = topic_names(settings, pipeline)
    health = Health(stuck_after=HUNG_SECONDS * 2, log=log)
    consumer = RecordConsumer(
        consumer_config(settings.kafka, instance=settings.instance),
        [names.input],
        log=log,
        waiting=health.wait,
    )
    committer = _committer(settings, pipeline, consumer, health, log)
    processor = Processor(
        source=consumer,
        committer=committer,
        planner=_planner(settings, pipeline, names),
        app_settings=load_app_settings(pipeline.settings),
        interval=CommitInterval(settings.commit.shortest, settings.commit.longest),
        start=settings.start,
        group=settings.kafka.group_id,
        batch_records=settings.batch_records,
        health=health,
        log=log,
    )
    lag = LagWatch(
        ends or LogEnds(client_config(settings.kafka), log=log),
        processor.work.positions.snapshot,
        on_answer=health.answered,
    )
    return ProcessorApp(processor, committer, health, lag)


def process(settings: Settings, pipeline: Pipeline[Any, Any], log: Log) -> None:
    """Run a processor until the process is asked to stop.

    Raises:
        LanternpipeError: It cannot start or cannot go on; the message says why.
    """
    app = build_processor(settings, pipeline, log)

    def stop_asked() -> None:
        app.health.stopping()
        log("info", "stopping")

    stop = StopRequest(settings.shutdown_grace, stop_asked)
    with ExitStack() as stack:
        stack.enter_context(stop.on_signals())
        render = open_metrics(app.snapshot)
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
    outcomes = app.processor.work.outcomes
    log("info", "stopped", consumed=outcomes.consumed, **outcomes.totals())


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
    """

    rate: float | None
    count: int | None
    seconds: float | None
    poison: float
    filtered: float
    large: bool
    seed: int
    lines: Iterable[bytes] | None = None


def produce_events(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    options: ProduceOptions,
    log: Log,
    progress: Callable[[EventProducer[Any], float], None],
) -> EventProducer[Any]:
    """Send sample events, or given lines, to the input topic; return the producer, closed.

    Raises:
        DeliveryError: An event could not be delivered.
        LanternpipeError: It cannot start, or a given line is not an event of the topic.
    """
    topic = replace(pipeline.input, name=topic_names(settings, pipeline).input)
    stop = StopRequest(settings.shutdown_grace)
    with stop.on_signals():
        producer = EventProducer(
            topic, settings.kafka, full_timeout=None, background=False, log=log
        )
        began = time.monotonic()

        def give_up() -> bool:
            late = options.seconds is not None and time.monotonic() - began > options.seconds
            return late or stop()

        if not wait_for_topics(settings, pipeline, log, give_up, only={topic.name}):
            brokers = settings.kafka.bootstrap_servers
            raise RetriableFailure("_TIMED_OUT", f"{brokers}: no broker answered; nothing was sent")

        def send(sample: Any) -> None:
            if type(sample) is RawRecord:
                producer.send_raw(sample.value, sample.key)
            else:
                producer.send(sample)

        def tell(_: int, elapsed: float) -> None:
            producer.serve()
            progress(producer, elapsed)

        if options.lines is None:
            samples = pipeline.samples(
                seed=options.seed,
                filtered=options.filtered,
                poison=options.poison,
                large=options.large,
                clock=time.time,
            )
        else:
            samples = events_of_lines(options.lines, topic)
        try:
            produce(
                samples,
                send,
                rate=options.rate,
                count=options.count,
                seconds=options.seconds,
                stopping=stop,
                progress=tell,
            )
        finally:
            undelivered = producer.close(settings.shutdown_grace)
    if undelivered or producer.failed:
        raise DeliveryError(
            f"{producer.failed} events were refused and {undelivered} not acknowledged "
            f"of {producer.sent} sent to {topic.name}"
        )
    return producer


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


def _committer(
    settings: Settings, pipeline: Pipeline[Any, Any], source: Source, health: Health, log: Log
) -> Committer:
    kafka, limits = settings.kafka, byte_limits(pipeline)
    deadline = Deadline(max(HUNG_SECONDS, 2 * kafka.transaction_timeout + 30))
    if settings.delivery == "at-least-once":
        config = at_least_once_config(kafka, limits)
        sink = RecordProducer(config, log=log, beat=health.beat)
        return AtLeastOnce(sink, source, deadline=deadline, waiting=health.wait)
    # Random unless named: nobody else can have it, and nobody can end what it left open.
    suffix = settings.instance or uuid.uuid4().hex[:12]
    config = transactional_config(kafka, limits, transactional_id=f"{kafka.group_id}-{suffix}")
    return ExactlyOnce(
        TransactionalProducer(config, log=log, beat=health.beat),
        source,
        deadline=deadline,
        id_is_shared=settings.instance is not None,
        waiting=health.wait,
    )
