"""The demo's producer: samples at a steady rate, held back when too much is on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from lanternpipe.codec.json import JsonCodec
from lanternpipe.errors import DeliveryError
from lanternpipe.pipeline import RawRecord, Topic
from lanternpipe.ports import Log
from lanternpipe.producer import Delivered, EventProducer
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.produce import produce
from lanternpipe.settings import KafkaSettings
from lanternpipe.telemetry.sending import SendTracer

# Of what the embedded broker keeps of a partition, two fifths; all partitions share it, since
# they need not be filled evenly, and outputs are a little larger than inputs.
ON_THE_WAY_BYTES = 2_000_000
CLOSE_SECONDS = 5.0


class Feed:
    """Sends samples, and knows where partitions end because nobody else writes to them.

    Args:
        topic: Where to, by its name on the broker.
        kafka: The connection.
        samples: What to send, without end.
        rate: Events per second; None for as fast as the pipeline takes them.
        finished: How many records have come out at the other end.
        log: Writes log lines.
        tracing: Decides which records are traced.
        clock: Monotonic seconds.
        pause: Waits so many seconds.

    Attributes:
        first_at: When the first record was acknowledged, by the clock.
    """

    def __init__(
        self,
        topic: Topic[Any],
        kafka: KafkaSettings,
        samples: Iterator[Any],
        *,
        rate: float | None,
        finished: Callable[[], int],
        log: Log,
        tracing: SendTracer,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.first_at: float | None = None
        self._producer = EventProducer(topic, kafka, full_timeout=None, log=log, tracing=tracing)
        self._topic = topic
        self._encode = JsonCodec(topic.event).encode
        self._samples = samples
        self._rate = rate
        self._finished = finished
        self._clock = clock
        self._pause = pause
        self._largest = 1
        self._ends: dict[TopicPartition, int] = {}

    @property
    def acknowledged(self) -> int:
        """How many records the broker has stored."""
        return self._producer.acknowledged

    def last_stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where partitions end: behind the last record that was acknowledged."""
        return {each: self._ends.get(each, 0) for each in partitions}

    def run(self, stopping: Callable[[], bool]) -> None:
        """Send until ``stopping()``, then wait for the last acknowledgements.

        Raises:
            DeliveryError: The broker did not take a record.
        """

        def send(sample: Any) -> None:
            value, key = self._encoded(sample)
            self._largest = max(self._largest, len(value or b""))
            self._wait_for_room(stopping)
            self._producer.send_raw(value, key, on_delivery=self._stored)

        # The first sample may take a second to make up; what falls due meanwhile would be a burst.
        samples = chain([next(self._samples)], self._samples)
        try:
            produce(
                samples,
                send,
                rate=self._rate,
                count=None,
                seconds=None,
                stopping=stopping,
                progress=lambda _sent, _elapsed: None,
            )
        finally:
            undelivered = self._producer.close(CLOSE_SECONDS)
        if undelivered or self._producer.failed:
            raise DeliveryError(
                f"{self._producer.failed} records were refused and {undelivered} not acknowledged"
            )

    def _encoded(self, sample: Any) -> tuple[bytes | None, str | bytes | None]:
        if type(sample) is RawRecord:
            return sample.value, sample.key
        assert self._topic.key is not None  # else there would be no producer
        return self._encode(sample), self._topic.key(sample)

    def _wait_for_room(self, stopping: Callable[[], bool]) -> None:
        while (
            (self._producer.sent - self._finished()) * self._largest > ON_THE_WAY_BYTES
        ) and not stopping():
            self._pause(0.005)

    def _stored(self, error: DeliveryError | None, place: Delivered | None) -> None:
        if error is None and place is not None:
            if self.first_at is None:
                self.first_at = self._clock()
            at = TopicPartition(place.topic, place.partition)
            self._ends[at] = max(self._ends.get(at, 0), place.offset + 1)
