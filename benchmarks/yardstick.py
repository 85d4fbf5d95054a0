"""The yardstick: the same work by the fastest bare loop that we know, in one page.

At least once: decode and validate all fields, filter old versions, set ``processed_timestamp``,
encode, produce with the input's key; one flush and one commit of offsets a second. Passes at C
speed over small batches, no Python function called per record.

``quick`` makes it what latency is measured by: it waits for a batch for 5 ms instead of 100, lets
records linger for as long, and keeps the input's timestamp, which tells when a record was due.

It is a measure, not a pipeline. It leaves out: exactly once; the input's timestamp and headers;
a transform written by a user; dead letters (one broken record ends it) and the reason why a record
was filtered; the check of output sizes; undelivered outputs (the error is never looked at); our
own record of positions, without which a rebalance repeats or loses records; duplicates handed out
by the client; a broker that goes away; metrics, lag, logs, health, and a clean stop.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

import msgspec
from confluent_kafka import Consumer, Message, Producer

from logins.events import EpochSeconds, Text

BATCH = 250
QUEUE = 100_000
COMMIT_SECONDS = 1.0


class Login(msgspec.Struct, gc=False):
    """Input and output in one: the field that is added starts empty."""

    user_id: Text
    app_version: Text
    ip: Text
    locale: Text
    device_id: Text
    timestamp: EpochSeconds
    device_type: Text
    processed_timestamp: EpochSeconds = 0


class Current(dict[str, bool]):
    """Whether a version is new enough; worked out once per version."""

    def __missing__(self, version: str) -> bool:
        """Work it out."""
        self[version] = tuple(map(int, version.split("."))) >= (2, 0, 0)
        return self[version]


def run(servers: str, source: str, target: str, group: str, mode: str = "") -> None:
    """Process until killed; ``mode`` may be ``quick``."""
    quick = mode == "quick"
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "linger.ms": 5 if quick else 20,
            "batch.size": 512 * 1024,
            "queue.buffering.max.messages": QUEUE,
        }
    )
    decode: Callable[[Any], Login] = msgspec.json.Decoder(Login).decode
    encode = msgspec.json.Encoder().encode
    current = Current()
    consumer.subscribe([source])
    committed = time.monotonic()
    while True:
        messages = consumer.consume(BATCH, 0.005 if quick else 0.1)
        logins = list(map(decode, map(Message.value, messages)))
        kept = [current[login.app_version] for login in logins]
        if not all(kept):
            messages = [message for message, keep in zip(messages, kept, strict=True) if keep]
            logins = [login for login, keep in zip(logins, kept, strict=True) if keep]
        now = int(time.time())
        for login in logins:
            login.processed_timestamp = now
        while len(producer) + len(logins) > QUEUE:
            producer.poll(0.01)
        keys = map(Message.key, messages)
        columns: list[Iterable[Any]] = [repeat(target), map(encode, logins), keys]
        if quick:
            stamps = (message.timestamp()[1] for message in messages)
            columns += [repeat(-1), repeat(None), repeat(None), stamps]
        deque(map(producer.produce, *columns), maxlen=0)
        producer.poll(0)
        if messages and time.monotonic() - committed >= COMMIT_SECONDS:
            producer.flush(30)
            consumer.commit(asynchronous=False)
            committed = time.monotonic()


if __name__ == "__main__":
    run(*sys.argv[1:])
