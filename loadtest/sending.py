"""Sends what is due: one producer a process, which never waits.

confluent-kafka's calls are C and block every greenlet of the process, so only those are made that
return at once: ``produce``, and ``poll(0)`` in a greenlet of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from typing import Any

import gevent
from confluent_kafka import KafkaError, Message, Producer

from lanternpipe.codec.json import JsonCodec
from lanternpipe.kafka.clients import Events, opened
from lanternpipe.kafka.config import producer_config
from lanternpipe.pipeline import Pipeline, RawRecord
from lanternpipe.settings import KafkaSettings
from lanternpipe.topology import byte_limits
from loadtest.lanes import Due, Sent, Stream
from loadtest.tally import Tally

POOL = 10_000  # distinct values, sent again and again
AT_ONCE = 200  # records between looks at the clock and at other greenlets
POLL_SECONDS = 0.002
# Each look of a user costs Locust 20 µs: so few a second, by all of them, leave time to send.
LOOKS_PER_SECOND = 10_000
FLUSH_SECONDS = 30.0
FULL_SECONDS = 0.005  # a pause while the queue is full; what is due waits, and counts as late

Undelivered = Callable[[KafkaError], None]


def values_of(pipeline: Pipeline[Any, Any], poison: float) -> list[tuple[bytes | None, bool]]:
    """Return values of the user's samples, and whether each is poison."""
    encode = JsonCodec(pipeline.input.event).encode
    samples = pipeline.samples(seed=1, filtered=0, poison=poison, large=False, clock=time.time)
    return [
        (sample.value, True) if isinstance(sample, RawRecord) else (encode(sample), False)
        for sample in islice(samples, POOL)
    ]


class Sender:
    """The one producer of a process.

    Args:
        kafka: The connection.
        pipeline: The user's.
        topic: Where to.
        name: Of this process in this run.
        poison: Share of records that are broken.
        undelivered: Called for each record that the broker does not take.

    Attributes:
        tally: What has happened and was not yet told.
        open: How many streams go on.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        pipeline: Pipeline[Any, Any],
        topic: str,
        *,
        name: str,
        poison: float,
        undelivered: Undelivered,
    ) -> None:
        config = {
            **producer_config(kafka, byte_limits(pipeline), linger_ms=1),
            "delivery.report.only.error": False,
        }
        events = Events("load", lambda *_, **__: None)
        self._producer = events.take_over(lambda hooks: opened(Producer, {**config, **hooks}))
        self._topic, self._name = topic, name
        self._values = cycle(values_of(pipeline, poison))
        self._undelivered = undelivered
        self._streams: list[Stream] = []
        self._by_name: dict[bytes, Stream] = {}
        self._acked: list[int] = []
        self.tally = Tally()
        self.open = 0
        self._polling = gevent.spawn(self._poll)

    def open_stream(self, rate: int) -> Stream:
        """Begin another stream of so many records per second."""
        name = f"{self._name}-{len(self._streams)}"
        stream = Stream(name, rate, round(time.time() * 1_000))
        self._streams.append(stream)
        self._by_name[name.encode()] = stream
        self.open += 1
        return stream

    def send_due(self, stream: Stream) -> float:
        """Send what is due on a stream; return the seconds until the next is."""
        while True:
            now = time.time()
            due = stream.take(now * 1_000, AT_ONCE)
            if not due.keys:
                return max(self.open / LOOKS_PER_SECOND, 0.001, stream.next_due() / 1_000 - now)
            self._send(stream, due)
            gevent.sleep(0)

    def close_stream(self, stream: Stream) -> None:
        """End a stream."""
        stream.close(time.time() * 1_000)
        self.open -= 1

    def finish(self) -> list[Sent]:
        """Wait for the broker's answers, but not for ever, and return what each stream has sent.

        What is still on its way then is dropped, and counts as undelivered.
        """
        for stream in self._streams:  # whose user Locust has not ended yet
            stream.close(time.time() * 1_000)
        deadline = time.monotonic() + FLUSH_SECONDS
        while len(self._producer) and time.monotonic() < deadline:
            gevent.sleep(POLL_SECONDS)
        self._polling.kill()
        self._producer.purge()
        self._producer.poll(0)
        self._count_acked()
        return [stream.sent() for stream in self._streams]

    def _send(self, stream: Stream, due: Due) -> None:
        produce, topic, clock = self._producer.produce, self._topic, time.time
        sent = poisoned = 0
        delays: list[int] = []
        try:
            for key, timestamp in zip(*due, strict=True):
                value, poison = next(self._values)
                while True:
                    try:
                        # With the time, since what the report tells of it is the topic's business.
                        told = partial(self._on_delivery, timestamp)
                        produce(topic, value, key, on_delivery=told, timestamp=timestamp)
                        break
                    except BufferError:
                        self.tally[int(time.time())].full += 1
                        gevent.sleep(FULL_SECONDS)
                sent += 1
                delays.append(round(clock() * 1_000) - timestamp)
                if poison:
                    poisoned += 1
                    stream.broken(timestamp, key)
        finally:  # also when Locust ends the user while it waits for room
            for key, timestamp in islice(zip(*due, strict=True), sent, None):
                stream.not_delivered(timestamp, key)
            second = self.tally[int(clock())]
            second.sent += len(due.keys)
            second.poison += poisoned
            second.undelivered += len(due.keys) - sent
            second.delay.add(delays)

    def _poll(self) -> None:
        while True:
            self._producer.poll(0)
            self._count_acked()
            gevent.sleep(POLL_SECONDS)

    def _count_acked(self) -> None:
        acked, self._acked = self._acked, []
        if acked:
            now = round(time.time() * 1_000)
            second = self.tally[now // 1_000]
            second.acked += len(acked)
            second.ack.add(now - timestamp for timestamp in acked)

    def _on_delivery(self, timestamp: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._acked.append(timestamp)
            return
        key = message.key() or b""
        self._by_name[key.split(b".")[1]].not_delivered(timestamp, key)
        self.tally[int(time.time())].undelivered += 1
        self._undelivered(error)
