"""What a reader of the results sees: the other half of a history."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import msgspec
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from lanternpipe.headers import EVENT_ID
from lanternpipe.testing.history import Seen
from logins.events import ProcessedUserLogin
from tests.chaos.deployment import Deployment
from tests.chaos.workload import Record

READ_SECONDS = 60.0
OFFSET_BEGINNING = -2


def read(deployment: Deployment, topic: str, *, committed: bool = True) -> list[Message]:
    """Read a topic from its beginning to its end, as it is now.

    Args:
        deployment: Where it is.
        topic: Its name.
        committed: Whether to leave out what transactions have not committed.
    """
    reader = Consumer(
        {
            "bootstrap.servers": deployment.servers,
            "group.id": "reader",  # never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # at the end there is nothing to wait for
            "isolation.level": "read_committed" if committed else "read_uncommitted",
        }
    )
    places = [TopicPartition(topic, at.partition, OFFSET_BEGINNING) for at in deployment.partitions]
    found: list[Message] = []
    ended: set[int | None] = set()
    deadline = time.monotonic() + READ_SECONDS
    try:
        reader.assign(places)
        while len(ended) < len(places):
            assert time.monotonic() < deadline, f"the end of {topic} has not been reached"
            for message in reader.consume(1_000, 0.1):
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
    finally:
        reader.close()
    return found


def seen(deployment: Deployment, placed: Mapping[str, Record]) -> list[Seen]:
    """Return all results of a pipeline: outputs and dead letters."""
    letters = read(deployment, deployment.dead_letters)
    return [*outputs(read(deployment, deployment.output)), *dead_letters(letters, placed)]


def outputs(messages: Iterable[Message]) -> list[Seen]:
    """Tell which events the records of the output topic stand for."""
    decode = msgspec.json.Decoder(ProcessedUserLogin).decode
    return [
        Seen(
            decode(message.value() or b"").device_id,
            _text(message.key()),
            "processed",
            message.partition() or 0,
            message.offset() or 0,
        )
        for message in messages
    ]


def dead_letters(messages: Iterable[Message], placed: Mapping[str, Record]) -> list[Seen]:
    """Tell which records the dead letters stand for, by the place that their header names.

    A letter that differs from its record, or has none, gets an id that nobody has sent.
    """
    found = []
    for message in messages:
        place = _text(dict(message.headers() or []).get(EVENT_ID))
        record = placed.get(place)
        key = _text(message.key())
        untouched = record and (record.key, record.value) == (key, message.value())
        id_ = record.id if record and untouched else f"no such record at {place}"
        found.append(
            Seen(id_, key, "dead_lettered", message.partition() or 0, message.offset() or 0)
        )
    return found


def _text(given: str | bytes | None) -> str:
    return given.decode() if isinstance(given, bytes) else given or ""
