"""What a processor shows of itself: its numbers as samples of the catalogue. Pure."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from lanternpipe.kafka.clients import CLIENT_VERSION
from lanternpipe.kafka.stats import Figure
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.lag import Lag
from lanternpipe.runtime.sight import Sight
from lanternpipe.runtime.watermarks import Watermarks
from lanternpipe.telemetry import catalogue
from lanternpipe.telemetry.logs import PipelineLog
from lanternpipe.telemetry.metrics import Sample
from lanternpipe.telemetry.spans import SpanQueue
from lanternpipe.version import VERSION

BY_NAME = {metric.name: metric for metric in catalogue.METRICS}
# Kinds of dead letters for which the input is not to blame.
OWN_FAULTS = frozenset({"bug", "too_large", "unproducible"})
REBALANCES = frozenset({"revoked", "partitions_lost"})
# Why a delivery was put back that waits for its turn, or for that of a record before it.
RETRIES = frozenset({"held", "not_due"})
PIPELINE_STOPS = frozenset({"breaker_open", "stalled", "no_time"})


class Identity(NamedTuple):
    """What does not change while the process runs.

    Attributes:
        source: The input topic.
        dead_letters: The topic of the dead letters.
        group: The consumer group.
        poll_gap_limit: Seconds between two polls after which the broker expels this process.
        config: Labels of ``pipeline_config_info``.
    """

    source: str
    dead_letters: str
    group: str
    poll_gap_limit: float
    config: tuple[str, ...]


def samples(
    who: Identity,
    sight: Sight,
    lags: Mapping[TopicPartition, Lag],
    watermarks: Watermarks,
    stable: Mapping[TopicPartition, int],
    stable_at: float,
    clients: Mapping[str, Iterable[Figure]],
    now: float,
) -> Iterator[Sample]:
    """Yield all samples of this moment.

    Args:
        who: What does not change.
        sight: What the loop knows of itself.
        lags: Of the assigned partitions.
        watermarks: Of the assigned partitions.
        stable: Last stable offsets.
        stable_at: When they were asked for; 0 before the first answer.
        clients: Statistics by the name of the client.
        now: Seconds since 1970.
    """
    for sample in _samples(who, sight, lags, watermarks, stable, stable_at, clients, now):
        grouped = sample.metric.labels[:1] == catalogue.GROUP
        yield sample._replace(labels=(who.group, *sample.labels)) if grouped else sample


def _samples(
    who: Identity,
    sight: Sight,
    lags: Mapping[TopicPartition, Lag],
    watermarks: Watermarks,
    stable: Mapping[TopicPartition, int],
    stable_at: float,
    clients: Mapping[str, Iterable[Figure]],
    now: float,
) -> Iterator[Sample]:
    """Yield the samples, without the name of the group before their own labels."""
    yield build_sample()
    yield Sample(catalogue.CONFIG, 1, who.config)
    yield from _ledger(who, sight)
    yield from _partitions(sight, lags, watermarks, stable)
    # Each is asked for by itself, and one may be answered while the other is not.
    if oldest := min(watermarks.at, stable_at):
        yield Sample(catalogue.WATERMARK_AGE, now - oldest)
    if watermarks.dead_letters is not None:
        held = watermarks.dead_letters
        age = max(0.0, now - held.oldest_ms / 1_000) if held.oldest_ms else 0.0
        yield Sample(catalogue.DEAD_LETTERS, held.records, (who.dead_letters,))
        yield Sample(catalogue.DEAD_LETTERS_AGE, age, (who.dead_letters,))
    yield Sample(catalogue.POLL_GAP_LIMIT, who.poll_gap_limit)
    yield from _measured(who, sight)
    yield from client_samples(clients)


def build_sample() -> Sample:
    """Return what runs, and of what it is made."""
    made_of = (VERSION, platform.python_version(), CLIENT_VERSION, catalogue.SEMCONV)
    return Sample(catalogue.BUILD, 1, made_of)


def client_samples(clients: Mapping[str, Iterable[Figure]]) -> Iterator[Sample]:
    """Yield the statistics of clients, by their names."""
    for client, figures in clients.items():
        for figure in figures:
            labels = (client, figure.broker) if figure.broker else (client,)
            yield Sample(BY_NAME[figure.metric], figure.value, labels)


def sent_samples(topic: str, acknowledged: int, failures: Mapping[str, int]) -> Iterator[Sample]:
    """Yield what became of the records of a producer."""
    yield Sample(catalogue.SENT, acknowledged, (topic, ""))
    for code, count in failures.items():
        yield Sample(catalogue.SENT, count, (topic, code))


def log_samples(log: PipelineLog) -> Iterator[Sample]:
    """Yield what became of log lines."""
    yield Sample(catalogue.LOG_LINES_WRITTEN, 0, ("info",))
    for level, count in log.written.copy().items():
        yield Sample(catalogue.LOG_LINES_WRITTEN, count, (level,))
    yield Sample(catalogue.LOG_SUPPRESSED, log.suppressed)
    yield Sample(catalogue.LOG_DROPPED, log.dropped)


def certificate_samples(expiries: Mapping[str, float]) -> Iterator[Sample]:
    """Yield when certificates end, by what they are for."""
    for name, moment in expiries.items():
        yield Sample(catalogue.CERTIFICATE_EXPIRES, moment, (name,))


def span_samples(spans: SpanQueue, capped: int) -> Iterator[Sample]:
    """Yield what became of spans."""
    yield Sample(catalogue.SPAN_FATES, spans.exported, ("exported",))
    yield Sample(catalogue.SPAN_FATES, spans.dropped, ("dropped",))
    yield Sample(catalogue.SPAN_FATES, capped, ("capped",))


def cause(outcome: str, reason: str) -> str:
    """Return who is to blame for an outcome; nobody for what is as it should be."""
    if outcome == "dead_lettered":
        return "pipeline" if reason in OWN_FAULTS else "input"
    if outcome == "abandoned":
        if reason in RETRIES:
            return "retry"
        if reason in PIPELINE_STOPS:
            return "pipeline"
        return "rebalance" if reason in REBALANCES else "broker"
    return ""


def _ledger(who: Identity, sight: Sight) -> Iterator[Sample]:
    yield Sample(catalogue.CONSUMED, sight.consumed, (who.source, who.group))
    yield Sample(catalogue.RECORDS, 0, ("processed", "", ""))
    for (outcome, reason), count in sight.outcomes.items():
        yield Sample(catalogue.RECORDS, count, (outcome, cause(outcome, reason), reason))
    yield Sample(catalogue.IN_FLIGHT, sight.in_flight)
    yield Sample(catalogue.UNACCOUNTED, sight.unaccounted)
    yield Sample(catalogue.ASSIGNED, len(sight.positions))
    yield Sample(catalogue.WAITING, len(sight.waiting))
    yield Sample(catalogue.BREAKER, int(sight.breaker_open))
    yield Sample(catalogue.BREAKER_OPENINGS, sight.breaker_openings)
    yield Sample(catalogue.STALLS, sight.stalls)


def _partitions(
    sight: Sight,
    lags: Mapping[TopicPartition, Lag],
    watermarks: Watermarks,
    stable: Mapping[TopicPartition, int],
) -> Iterator[Sample]:
    for at, position in sorted(sight.positions.items()):
        labels = (at.topic, str(at.partition))
        if at in lags:
            yield Sample(catalogue.LAG_RECORDS, lags[at].records, labels)
            yield Sample(catalogue.LAG_SECONDS, lags[at].seconds, labels)
        if position.committed is not None:
            yield Sample(catalogue.COMMITTED, position.committed, labels)
        if at in watermarks.high:
            yield Sample(catalogue.HIGH_WATERMARK, watermarks.high[at], labels)
            if at in stable:
                held = max(0, watermarks.high[at] - stable[at])
                yield Sample(catalogue.OPEN_TRANSACTION, held, labels)
        if at in watermarks.first:
            yield Sample(catalogue.LOW_WATERMARK, watermarks.first[at], labels)


def _measured(who: Identity, sight: Sight) -> Iterator[Sample]:
    measured = sight.measured
    for phase, seconds in measured.phases.items():
        yield Sample(catalogue.TIME, seconds, (phase,))
    for point, ages in measured.ages.items():
        yield Sample(catalogue.RECORD_AGE, ages, (point,))
    yield Sample(catalogue.FUTURE, measured.future)
    if measured.batches is not None and measured.processing is not None:
        yield Sample(catalogue.BATCH, measured.batches)
        destination = (who.source, who.group)
        yield Sample(catalogue.PROCESS_DURATION, measured.processing, destination)
    for (operation, error), durations in measured.operations.items():
        topic = who.source if operation == "poll" else ""
        yield Sample(catalogue.OPERATION_DURATION, durations, (operation, topic, error))
    for change, durations in measured.rebalances.items():
        yield Sample(catalogue.REBALANCES, durations, (change,))
    yield Sample(catalogue.POLL_GAP, measured.poll_gap)
    yield Sample(catalogue.PROGRESS, measured.progress_at)
