"""The brokers that must all keep the same contract, behind one small interface."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from lanternpipe.errors import RetriableFailure
from lanternpipe.kafka.admin import open_admin
from lanternpipe.kafka.config import (
    client_config,
    consumer_config,
    producer_config,
    transactional_config,
)
from lanternpipe.kafka.consumer import RecordConsumer
from lanternpipe.kafka.producer import RecordProducer, TransactionalProducer
from lanternpipe.kafka.topics import DeclaredTopic, apply
from lanternpipe.ports import Source, TransactionalSink
from lanternpipe.records import Headers, Outgoing, Records, TopicPartition
from lanternpipe.settings import KafkaSettings
from lanternpipe.testing.fake_broker import FakeBroker, Stored
from lanternpipe.testing.fake_sink import FakeSink
from lanternpipe.testing.fake_source import FakeSource

DEADLINE = 30.0
INPUT, OUTPUT = "contract-in", "contract-out"

Row = tuple[bytes | None, bytes | None, int, Headers | None]
"""Key, value, timestamp in milliseconds, headers."""


class Backend(Protocol):
    """A broker with one input and one output topic that nobody else uses."""

    name: str

    def fill(self, rows: Iterable[Row]) -> None:
        """Write records to the input topic."""

    def source(self) -> Source:
        """Return a new member of the one group, for the input topic."""

    def give_partitions(self, source: Source) -> None:
        """Do what makes the subscribed source receive all partitions."""

    def sink(self, transactional_id: str) -> TransactionalSink:
        """Return a new producer."""

    def visible(self, count: int) -> list[bytes | None]:
        """Return the values of all committed outputs, once there are ``count``."""


@dataclass
class Assignments:
    """Notes what a source tells of its assignment."""

    partitions: set[TopicPartition] = field(default_factory=set)

    def on_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Add."""
        self.partitions.update(partitions)

    def on_revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Take away."""
        self.partitions.difference_update(partitions)

    def on_lost(self, partitions: Iterable[TopicPartition]) -> None:
        """Take away."""
        self.partitions.difference_update(partitions)


class FakeBackend:
    """The broker of the unit tests."""

    name = "fake"

    def __init__(self) -> None:
        self._broker = FakeBroker.with_partitions(1, INPUT)

    def fill(self, rows: Iterable[Row]) -> None:
        """Write to the only partition."""
        log = self._broker.logs[TopicPartition(INPUT, 0)]
        log.extend(Stored(value, key, stamp, headers) for key, value, stamp, headers in rows)

    def source(self) -> Source:
        """Return a member."""
        return FakeSource(self._broker)

    def give_partitions(self, source: Source) -> None:
        """Assign by hand: this broker has no group coordinator."""
        assert isinstance(source, FakeSource)
        source.assign(*self._broker.logs)

    def sink(self, transactional_id: str) -> TransactionalSink:
        """Return a producer."""
        return FakeSink(self._broker)

    def visible(self, count: int) -> list[bytes | None]:
        """Return what was written."""
        return [each.value for each in self._broker.written]


class KafkaBackend:
    """A broker that speaks Kafka's protocol: the embedded one, or a real one."""

    def __init__(self, name: str, bootstrap_servers: str) -> None:
        self.name = name
        self._suffix = uuid.uuid4().hex[:8]
        # KIP-848 joins the embedded broker at once; its classic protocol takes seconds.
        self._kafka = KafkaSettings(
            bootstrap_servers=bootstrap_servers,
            group_id=f"contract-{self._suffix}",
            group_protocol="consumer" if name == "embedded" else "classic",
        )
        if name == "real":
            admin = open_admin(client_config(self._kafka), log=silent)
            apply(admin, [DeclaredTopic(self._name(each), 1, 1) for each in (INPUT, OUTPUT)])

    def fill(self, rows: Iterable[Row]) -> None:
        """Produce and wait."""
        keys, values, stamps, headers = zip(*rows, strict=True)
        sink = RecordProducer(producer_config(self._kafka), log=silent)
        sink.send(Outgoing(self._name(INPUT), [*keys], [*values], [*stamps], [*headers]))
        assert sink.flush(DEADLINE) == 0

    def source(self) -> Source:
        """Return a member."""
        return self._consumer(self._kafka, INPUT)

    def give_partitions(self, source: Source) -> None:
        """Nothing: the coordinator does it."""

    def sink(self, transactional_id: str) -> TransactionalSink:
        """Return a producer whose outputs go to this backend's output topic."""
        config = transactional_config(
            self._kafka, transactional_id=f"{transactional_id}-{self._suffix}"
        )
        return _Renaming(config, self._name(OUTPUT))

    def visible(self, count: int) -> list[bytes | None]:
        """Read the output topic with a committed reader of a group of its own."""
        group = self._kafka.model_copy(update={"group_id": f"reader-{uuid.uuid4().hex[:8]}"})
        reader = self._consumer(group, OUTPUT)
        begin(self, reader)
        found = [value for run in read_to_end(reader, count) for value in run.values]
        reader.close()
        return found

    def _consumer(self, kafka: KafkaSettings, topic: str) -> RecordConsumer:
        config = consumer_config(kafka, instance=None)
        return RecordConsumer(config, [self._name(topic)], log=silent, waiting=lambda _: None)

    def _name(self, topic: str) -> str:
        return f"{topic}-{self._suffix}"


class _Renaming(TransactionalProducer):
    """Sends everything to one topic."""

    def __init__(self, config: dict[str, str | int | float | bool], topic: str) -> None:
        super().__init__(config, log=silent)
        self._topic = topic

    def send(self, batch: Outgoing) -> None:
        """Send elsewhere."""
        super().send(
            Outgoing(self._topic, batch.keys, batch.values, batch.timestamps, batch.headers)
        )


def begin(backend: Backend, source: Source) -> set[TopicPartition]:
    """Join, and start every partition that has no offset; return these."""
    assignments = Assignments()
    source.subscribe(assignments)
    backend.give_partitions(source)
    started: set[TopicPartition] = set()
    seen: set[TopicPartition] = set()

    def joined() -> bool:
        fetched = source.fetch(1, 0.1)
        for partition in fetched.lost:
            source.start_at(partition, "earliest")
            started.add(partition)
        for run in fetched.runs:  # the test shall read it
            until(partial(source.seek, run.source, run.offsets[0]))
        seen.update(started, (run.source for run in fetched.runs), (at for at, _ in fetched.ends))
        return bool(assignments.partitions) and assignments.partitions <= seen

    until(joined)
    return started


def read_to_end(
    source: Source, count: int, ends: dict[TopicPartition, int] | None = None
) -> list[Records]:
    """Fetch until ``count`` records and the ends behind them have come; note the ends."""
    runs: list[Records] = []
    known = {} if ends is None else ends

    def done() -> bool:
        fetched = source.fetch(100, 0.1)
        runs.extend(fetched.runs)
        known.update(fetched.ends)
        return sum(map(len, runs)) >= count and known.keys() >= {run.source for run in runs}

    until(done)
    return runs


def retried(call: Callable[[], None]) -> None:
    """Make a call again for as long as it may be."""

    def made() -> bool:
        try:
            call()
        except RetriableFailure:
            return False
        return True

    until(made)


def until(condition: Callable[[], bool], deadline: float = DEADLINE) -> None:
    """Try until the condition holds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {condition}")


def silent(level: str, event: str, **fields: object) -> None:
    """Log nothing."""
