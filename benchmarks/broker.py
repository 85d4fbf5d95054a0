"""The broker that all contenders share, its topics, and the records to work on.

One real Kafka broker with a heap of 1 GiB, unless ``KAFKA_BOOTSTRAP_SERVERS`` names another.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from lanternpipe.testing.kafka_cluster import UnsupportedError, kafka_cluster
from logins.events import UserLogin
from logins.samples import samples

PARTITIONS = 6
OLD_VERSIONS = 0.05
POOL = 200_000  # distinct records, sent again and again
POOL_BYTES = 200_000_000  # that they may take together
ENCRYPTED = "TLS"  # the listener's name
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker.

    Attributes:
        servers: Where it listens.
        pid: Its process; None where it is not on this machine, and then its CPU is not measured.
        admin: A client to ask it.
        partitions: Of the topics that it creates.
        encrypted: Where it listens for TLS, if it was given a certificate.
    """

    servers: str
    pid: int | None
    admin: AdminClient
    partitions: int = PARTITIONS
    encrypted: str = ""

    def create(self, topic: str) -> None:
        """Create a topic, whose files go at once when it is deleted, and wait for its leaders."""
        new = NewTopic(topic, self.partitions, 1, config={"file.delete.delay.ms": "100"})
        self.admin.create_topics([new])[topic].result(SECONDS)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                self.admin.list_topics(topic, timeout=SECONDS)  # or an old answer would stay
                self.written(topic)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def create_input(self, topic: str) -> list[str]:
        """Create an input topic and what a processor needs beside it; return all names."""
        names = [topic, f"{topic}.dlq", f"{topic}.replay"]
        for name in names:
            self.create(name)
        return names

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        self.admin.delete_topics([topic])[topic].result(SECONDS)

    def written(self, topic: str) -> int:
        """Return the offsets committed so far, including a few that are transaction markers."""
        spec = OffsetSpec.latest()
        asked = {TopicPartition(topic, number): spec for number in range(self.partitions)}
        answers = self.admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=SECONDS
        )
        return sum(future.result(SECONDS).offset for future in answers.values())


@contextmanager
def open_broker(keystore: Path | None = None) -> Iterator[Broker]:
    """Run a broker within the block; its compiler is not held back as it is for tests.

    Args:
        keystore: A certificate and its key, for a second listener that encrypts.
    """
    doors = {ENCRYPTED: "SSL"} if keystore else {}
    prefix = f"listener.name.{ENCRYPTED.lower()}.ssl.keystore"
    secured = {f"{prefix}.type": "PEM", f"{prefix}.location": str(keystore)} if keystore else {}
    with kafka_cluster(1, heap="1g", jvm_flags=(), properties=secured, doors=doors) as cluster:
        pid = None
        with suppress(UnsupportedError):
            pid = cluster.pid(1)
        servers = cluster.bootstrap_servers
        # Quiet, or it would complain when the broker ends.
        admin = AdminClient({"bootstrap.servers": servers, "log_level": 2})
        door = cluster.door(ENCRYPTED) if keystore else ""
        yield Broker(servers, pid, admin, encrypted=door)


def committed_reader(servers: str, topic: str) -> Consumer:
    """Return a reader of what is committed in a topic, from its beginning."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "bench-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in range(PARTITIONS)])
    return consumer


def sample_values(count: int, *, filtered: float, size: int = 0) -> list[tuple[bytes, bytes]]:
    """Return keys and values of sample logins, each of another user, so that keys spread evenly.

    Args:
        count: How many.
        filtered: Share of those from an app version that is too old.
        size: Of a value, in bytes: the device's id is made longer by random digits, which compress
            to half. By default values have the size that they come with, about 200.
    """
    rng = random.Random(1)
    logins = samples(seed=1, filtered=filtered, poison=0, clock=time.time)
    made = []
    for login in islice(logins, count):
        assert isinstance(login, UserLogin)
        user = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        own = msgspec.structs.replace(login, user_id=user)
        value = msgspec.json.encode(own)
        if missing := max(0, size - len(value)):
            longer = own.device_id + rng.randbytes(missing // 2 + 1).hex()[:missing]
            value = msgspec.json.encode(msgspec.structs.replace(own, device_id=longer))
        made.append((user.encode(), value))
    return made


def preload(
    broker: Broker,
    topic: str,
    records: int,
    headers: Callable[[bytes, bytes, int], Any] = lambda *_: None,
    size: int = 0,
) -> float:
    """Fill a topic with records; return the share that is not to be filtered out.

    Args:
        broker: Where.
        topic: Its name.
        records: How many.
        headers: Of a record, by key, value and time in milliseconds; by default none has any.
        size: Of their values, in bytes; 0 for the size that they come with.
    """
    distinct = min(POOL, records, POOL_BYTES // max(1, size))
    pool = sample_values(distinct, filtered=OLD_VERSIONS, size=size)
    old = 0
    producer = Producer(
        {
            "bootstrap.servers": broker.servers,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "log_level": 3,
            "batch.size": 512 * 1024,
        }
    )
    for start in range(0, records, len(pool)):
        now = round(time.time() * 1_000)
        for key, value in pool[: records - start]:
            old += b'"app_version":"0.' in value or b'"app_version":"1.' in value
            own = headers(key, value, now)
            while True:
                try:
                    producer.produce(topic, value, key, timestamp=now, headers=own)
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.poll(0)
    if producer.flush(60):
        raise SystemExit("The broker did not take all records within a minute.")
    return 1 - old / records
