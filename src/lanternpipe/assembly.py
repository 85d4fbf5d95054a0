"""A processor from its settings and the user's pipeline: each part is made in one place."""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lanternpipe.codec.json import JsonCodec
from lanternpipe.environment import load_app_settings, variables
from lanternpipe.errors import ConfigError, RefusedFailure
from lanternpipe.kafka.admin import LogEnds
from lanternpipe.kafka.config import (
    at_least_once_config,
    client_config,
    consumer_config,
    transactional_config,
)
from lanternpipe.kafka.consumer import RecordConsumer
from lanternpipe.kafka.producer import RecordProducer, TransactionalProducer
from lanternpipe.kafka.rotation import Rotation
from lanternpipe.kafka.stats import StatisticsWatch
from lanternpipe.pipeline import Pipeline, Topic
from lanternpipe.ports import Log, Source, Tracing
from lanternpipe.publish import Identity, certificate_samples, samples
from lanternpipe.runtime.acknowledged import AtLeastOnce
from lanternpipe.runtime.batch import Planner
from lanternpipe.runtime.breaker import Breaker
from lanternpipe.runtime.commit import OUTDATED, Committer, CutOff, ExactlyOnce
from lanternpipe.runtime.deadletter import DeadLetters
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.interval import CommitInterval
from lanternpipe.runtime.lag import Ends, LagWatch
from lanternpipe.runtime.lookup import Lookups
from lanternpipe.runtime.measure import Measures
from lanternpipe.runtime.outputs import OutputPlanner, OutputTopic
from lanternpipe.runtime.process import Processor
from lanternpipe.runtime.retry import Attempts
from lanternpipe.runtime.retrytopics import RetryTopics, Tier
from lanternpipe.runtime.stall import Stalls
from lanternpipe.runtime.watchdog import Deadline
from lanternpipe.runtime.watermarks import WatermarkWatch
from lanternpipe.settings import Settings
from lanternpipe.telemetry.catalogue import ACCESS_REFUSED
from lanternpipe.telemetry.metrics import Sample
from lanternpipe.topology import (
    TopicNames,
    byte_limits,
    dead_letter_bytes,
    topic_names,
)

# Longer than any single call into the client is supposed to take (flush: 30 s, and a transaction
# call was seen to take 36 s with a broker down).
HUNG_SECONDS = 60.0
# Exactly once, outputs wait for their transaction anyway; at least once, this is most of latency.
FETCH_SECONDS = {"exactly-once": 0.02, "at-least-once": 0.005}


@dataclass(frozen=True, slots=True)
class ProcessorApp:
    """A processor with all its parts, ready to run."""

    processor: Processor
    source: Source
    committer: Committer
    health: Health
    planner: Planner
    lag: LagWatch
    watermarks: WatermarkWatch
    statistics: Mapping[str, StatisticsWatch]
    identity: Identity
    rotation: Rotation
    deadline: Deadline

    def samples(self) -> Iterator[Sample]:
        """Yield what the processor knows of itself, for metrics."""
        yield from samples(
            self.identity,
            self.processor.sight,
            self.lag.current(),
            self.watermarks.known,
            self.lag.last_stable,
            self.lag.asked_at,
            {name: told.figures() for name, told in self.statistics.items()},
            time.time(),
        )
        yield Sample(ACCESS_REFUSED, int(self.health.denied), (self.identity.group,))
        yield from certificate_samples(self.rotation.expiries())


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
        consumer_config(
            settings.kafka,
            instance=settings.instance,
            fetch_seconds=FETCH_SECONDS[settings.delivery],
        ),
        list(names.sources),
        log=log,
        waiting=health.wait,
        refused=health.refused,
    )
    measures = Measures(ages="metrics" in settings.telemetry)

    def wait_for_room() -> None:
        measures.phases.enter("backpressure")
        health.beat()

    sink = _sink(settings, pipeline, log, wait_for_room, health)
    deadline = Deadline(max(HUNG_SECONDS, 2 * settings.kafka.transaction_timeout + 30))

    def cut_off() -> RefusedFailure | None:
        if processor.outdated:
            return RefusedFailure(OUTDATED, "these clients' certificates have been replaced")
        return RefusedFailure(*health.refusal) if health.denied and health.refusal else None

    committer = _committer(settings, sink, consumer, health, deadline, cut_off)
    planner = build_planner(settings, pipeline, log)
    config = client_config(settings.kafka)
    beside = [LogEnds(config, log=log), LogEnds(config, log=log)]  # one for each thread
    ends = ends or beside[0]

    def renew_beside() -> None:
        for each in beside:
            each.renew()

    rotation = Rotation(
        settings.kafka.security,
        [consumer, sink, *beside],
        replace=renew_beside,
        log=log,
    )
    lag = LagWatch(
        ends,
        lambda: processor.work.positions.snapshot(),  # noqa: PLW0108  # made further below
        on_answer=health.answered,
    )
    processor = Processor(
        source=consumer,
        committer=committer,
        planner=planner,
        app_settings=load_app_settings(pipeline.settings),
        interval=_interval(settings),
        start=settings.start,
        group=settings.kafka.group_id,
        batch_records=settings.batch_records,
        # The rest of the transaction's time is for what came before, and for the commit.
        batch_seconds=settings.kafka.transaction_timeout / 3,
        health=health,
        log=log,
        measures=measures,
        tracing=tracing,
        breaker=build_breaker(settings),
        hops={names.replay, *names.retries},
        stalls=Stalls(settings.stall_after),
        ends=lag.fresh,
        version=lambda: rotation.version,
    )
    positions = processor.work.positions.snapshot
    return ProcessorApp(
        processor,
        consumer,
        committer,
        health,
        planner,
        lag,
        WatermarkWatch(beside[1], positions, names.dead_letters),
        {"consumer": consumer.statistics, "producer": sink.statistics},
        _identity(settings, names),
        rotation,
        deadline,
    )


def _interval(settings: Settings) -> CommitInterval:
    commit = settings.commit
    if settings.delivery == "at-least-once":  # where nobody waits for it, but who waits behind it
        return CommitInterval(commit.longest, commit.longest)
    return CommitInterval(commit.shortest, commit.longest)


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
    )


def build_breaker(settings: Settings) -> Breaker:
    """Build what stops at a flood of dead letters."""
    asked = settings.deadletter.breaker
    before = asked.accept_before
    return Breaker(
        asked.ratio,
        asked.window,
        round(datetime.fromisoformat(before).timestamp() * 1_000) if before else 0,
        asked.enabled,
    )


def _retry(
    settings: Settings, names: TopicNames, chance: Callable[[], float]
) -> Attempts | RetryTopics:
    retry = settings.retry
    if retry.mode == "topics":
        return RetryTopics([*map(Tier, names.retries, retry.delays())])
    return Attempts(
        first=retry.first,
        longest=retry.longest,
        most=retry.max_attempts,
        random=chance,
    )


def build_planner(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    log: Log,
    *,
    chance: Callable[[], float] = random.random,
    make: Callable[..., Planner] = Planner,
) -> Planner:
    """Build what decides what becomes of records.

    Args:
        settings: What is in force.
        pipeline: The user's.
        log: Writes log lines.
        chance: Returns a number from 0 up to 1.
        make: Puts the parts together.
    """
    names = topic_names(settings, pipeline)
    codec = JsonCodec(pipeline.input.event)

    def output(name: str, topic: Topic[Any]) -> OutputTopic:
        return OutputTopic(name, topic.event, JsonCodec(topic.event).encode, topic.max_bytes)

    return make(
        decode=codec.decode,
        explain=codec.explain,
        transform=pipeline.transform,
        outputs=OutputPlanner(
            output(names.output, pipeline.output),
            pipeline.output.name,
            {topic.name: output(topic.name, topic) for topic in pipeline.also},
        ),
        dead_letters=DeadLetters(
            names.dead_letters,
            settings.kafka.group_id,
            max_bytes=dead_letter_bytes(pipeline),
            full_detail=settings.deadletter.detail == "full",
            dialects=settings.deadletter.dialects,
        ),
        retry=_retry(settings, names, chance),
        lookup=_lookups(settings, pipeline, log),
    )


def _lookups(settings: Settings, pipeline: Pipeline[Any, Any], log: Log) -> Lookups | None:
    if pipeline.lookup is None:
        return None
    asked, longest = settings.lookup, settings.kafka.transaction_timeout / 3
    if asked.timeout > longest:
        raise ConfigError(
            f"PIPELINE_LOOKUP__TIMEOUT ({asked.timeout:g} s) must be at most a third of "
            f"PIPELINE_KAFKA__TRANSACTION_TIMEOUT ({longest * 3:g} s), or results that wait for "
            "it would expire"
        )
    return Lookups(pipeline.lookup, timeout=asked.timeout, threads=asked.threads, log=log)


def _sink(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    log: Log,
    beat: Callable[[], None],
    health: Health,
) -> RecordProducer:
    kafka, limits = settings.kafka, byte_limits(pipeline)
    if settings.delivery == "at-least-once":
        return RecordProducer(
            at_least_once_config(kafka, limits), log=log, beat=beat, refused=health.refused
        )
    # Random unless named: nobody else can have it, and nobody can end what it left open.
    suffix = settings.instance or uuid.uuid4().hex[:12]
    config = transactional_config(kafka, limits, transactional_id=f"{kafka.group_id}-{suffix}")
    return TransactionalProducer(config, log=log, beat=beat, refused=health.refused)


def _committer(
    settings: Settings,
    sink: RecordProducer,
    source: Source,
    health: Health,
    deadline: Deadline,
    cut_off: CutOff,
) -> Committer:
    if not isinstance(sink, TransactionalProducer):
        return AtLeastOnce(sink, source, deadline=deadline, waiting=health.wait, cut_off=cut_off)
    return ExactlyOnce(
        sink,
        source,
        deadline=deadline,
        id_is_shared=settings.instance is not None,
        waiting=health.wait,
        cut_off=cut_off,
    )
