"""``EventProducer``: typed, keyed, idempotent sending, to take along into any service."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeAlias, TypeVar

from lanternpipe.codec.json import JsonCodec
from lanternpipe.environment import load_settings
from lanternpipe.errors import ConfigError, DeliveryError, KafkaFailure
from lanternpipe.kafka.config import STATISTICS_MS, producer_config
from lanternpipe.kafka.reporting import ReportingProducer
from lanternpipe.pipeline import Topic
from lanternpipe.ports import Log
from lanternpipe.records import TRACEPARENT, Headers
from lanternpipe.settings import KafkaSettings
from lanternpipe.telemetry.sampling import ratio_from
from lanternpipe.telemetry.sending import SendTracer, Traced

Event = TypeVar("Event")

POLL_SECONDS = 0.1
FULL_WAIT = 0.01
# In a tight loop of sends, serve delivery reports once in so many.
POLL_EVERY = 256


class Delivered(NamedTuple):
    """Where the broker stored a record."""

    topic: str
    partition: int
    offset: int


OnDelivery: TypeAlias = Callable[[DeliveryError | None, Delivered | None], None]


class EventProducer(Generic[Event]):
    """Sends events to one topic: idempotent, acknowledged by all replicas, keyed by the topic.

    ``send`` returns at once and reports later; ``send_and_wait`` returns when the broker has the
    record. Safe to use from several threads. Use as a context manager, or call ``close``.

    Args:
        topic: Where to; needs a ``key``.
        kafka: The connection; by default as ``PIPELINE_KAFKA__...`` says.
        full_timeout: Seconds to wait while the queue is full; None waits for ever.
        background: Whether a thread serves delivery reports. Without it they are served by
            ``send``, ``flush`` and ``close`` alone, which suits a loop that sends all the time.
        log: Writes log lines; by default none.
        tracing: Decides which records are traced; by default as ``OTEL_TRACES_SAMPLER`` says, with
            the tracer that the program has set up, if it has. Within a span of the caller, that
            span's decision counts.
        statistics: Whether the client is to tell of itself every ten seconds.

    Attributes:
        sent: Events accepted so far.
        acknowledged: Events that the broker has stored.
        failures: Events that the broker did not take, by its error code.
        statistics: What the client tells of itself, where it is asked to.
    """

    def __init__(
        self,
        topic: Topic[Event],
        kafka: KafkaSettings | None = None,
        *,
        full_timeout: float | None = 30.0,
        background: bool = True,
        log: Log | None = None,
        tracing: SendTracer | None = None,
        statistics: bool = False,
    ) -> None:
        if topic.key is None:
            raise ConfigError(f"Topic {topic.name!r} declares no key; EventProducer needs one")
        self.sent = self.acknowledged = 0
        self.failures: Counter[str] = Counter()
        self._topic = topic.name
        self._key = topic.key
        self._encode = JsonCodec(topic.event).encode
        self._full_timeout = full_timeout
        self._tracing = tracing or SendTracer(topic.name, ratio_from(os.environ))
        self._log = log or _silent
        self._lock = threading.Lock()
        every = STATISTICS_MS if statistics else 0
        kafka = kafka or load_settings().kafka
        config = producer_config(kafka, statistics_interval_ms=every)
        self._client = ReportingProducer(config, kafka.security, log=self._log)
        self.statistics = self._client.statistics
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if background:
            self._thread = threading.Thread(target=self._serve, name="producer", daemon=True)
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def failed(self) -> int:
        """Events that the broker did not take."""
        with self._lock:
            return self.failures.total()

    @property
    def waiting(self) -> int:
        """Events sent and not yet acknowledged."""
        return self.sent - self.acknowledged - self.failed

    def send(
        self,
        event: Event,
        *,
        key: str | bytes | None = None,
        headers: Headers | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Send an event; ``on_delivery`` is called when its fate is known.

        Args:
            event: What to send.
            key: By default the topic's key of the event.
            headers: Kafka headers, such as a ``traceparent``.
            on_delivery: Gets an error, or where the record was stored.

        Raises:
            DeliveryError: The queue stayed full, the client refuses the record, or the producer
                is closed.
        """
        self.send_raw(
            self._encode(event),
            self._key(event) if key is None else key,
            headers=headers,
            on_delivery=on_delivery,
        )

    def send_raw(
        self,
        value: bytes | None,
        key: str | bytes | None,
        *,
        headers: Headers | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Send bytes as they are; as ``send`` otherwise."""
        if self._closed.is_set():
            raise DeliveryError(f"{self._topic}: the producer is closed")
        report = self._count if on_delivery is None else self._counting(on_delivery)
        now = int(time.time() * 1_000)
        plain = key.encode() if isinstance(key, str) else key
        # A context that the caller has put into the headers stays.
        given = headers is not None and any(name == TRACEPARENT for name, _ in headers)
        traced = None if given else self._tracing.begin(plain, value, now)
        if traced is not None:
            headers = [*(headers or ()), (TRACEPARENT, traced.traceparent)]
            report = self._tracing_too(report, traced)
        try:
            if not self._client.send(self._topic, value, key, report, now, headers):
                self._send_when_room(value, key, report, now, headers)
        except KafkaFailure as failure:
            if traced is not None:
                traced.finished(failure.code, -1, -1)
            raise DeliveryError(str(failure)) from failure
        except DeliveryError:
            if traced is not None:
                traced.finished("_QUEUE_FULL", -1, -1)
            raise
        with self._lock:
            self.sent += 1
            serve = self._thread is None and self.sent % POLL_EVERY == 0
        if serve:
            self._client.poll(0)

    def send_and_wait(
        self, event: Event, *, headers: Headers | None = None, timeout: float = 30.0
    ) -> Delivered:
        """Send an event and return where the broker stored it.

        Raises:
            DeliveryError: The broker did not take it, or has not answered within ``timeout``
                seconds; in the latter case it may still arrive.
        """
        done = threading.Event()
        result: list[tuple[DeliveryError | None, Delivered | None]] = []

        def report(error: DeliveryError | None, place: Delivered | None) -> None:
            result.append((error, place))
            done.set()

        self.send(event, headers=headers, on_delivery=report)
        deadline = time.monotonic() + timeout
        while not done.wait(0 if self._thread is None else max(0, deadline - time.monotonic())):
            if time.monotonic() >= deadline:
                raise DeliveryError(f"{self._topic}: no answer within {timeout:g} s")
            self._client.poll(POLL_SECONDS)
        error, place = result[0]
        if error is not None or place is None:
            raise error or DeliveryError(f"{self._topic}: not delivered")
        return place

    def serve(self, timeout: float = 0.0) -> None:
        """Serve delivery reports that have come in, waiting up to ``timeout`` seconds for one."""
        self._client.poll(timeout)

    def flush(self, timeout: float) -> int:
        """Wait up to ``timeout`` seconds; return how many events are still not acknowledged."""
        return self._client.flush(timeout)

    def close(self, deadline: float = 10.0) -> int:
        """Flush for up to ``deadline`` seconds and end; return how many events are undelivered."""
        self._closed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(POLL_SECONDS * 2)
        try:
            return self._client.flush(deadline)
        except KafkaFailure as failure:
            raise DeliveryError(str(failure)) from failure

    def _send_when_room(
        self,
        value: bytes | None,
        key: str | bytes | None,
        report: Callable[[Any, Any], None],
        timestamp: int,
        headers: Headers | None,
    ) -> None:
        began = time.monotonic()
        while not self._client.send(self._topic, value, key, report, timestamp, headers):
            if self._full_timeout is not None and time.monotonic() - began > self._full_timeout:
                raise DeliveryError(
                    f"{self._topic}: the queue of {self.waiting} records has been full for "
                    f"{self._full_timeout:g} s; is the broker reachable?"
                )
            self._client.poll(FULL_WAIT)

    def _count(self, error: Any, _: Any) -> None:
        with self._lock:
            if error is None:
                self.acknowledged += 1
            else:
                self.failures[error.name()] += 1

    def _counting(self, on_delivery: OnDelivery) -> Callable[[Any, Any], None]:
        def report(error: Any, message: Any) -> None:
            self._count(error, message)
            try:
                if error is not None:
                    text = f"{self._topic}: {error.str()} ({error.name()})"
                    on_delivery(DeliveryError(text), None)
                else:
                    place = Delivered(message.topic(), message.partition(), message.offset())
                    on_delivery(None, place)
            except Exception as failed:  # noqa: BLE001  # it must not end the serving of others
                self._log("error", "on_delivery_failed", error=type(failed).__qualname__)

        return report

    def _tracing_too(
        self, report: Callable[[Any, Any], None], traced: Traced
    ) -> Callable[[Any, Any], None]:
        def both(error: Any, message: Any) -> None:
            if error is not None:
                traced.finished(error.name(), -1, -1)
            else:
                traced.finished("", message.partition(), message.offset())
            report(error, message)

        return both

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                self._client.poll(POLL_SECONDS)
            except KafkaFailure as failure:
                # Fatal: every send from now on says so, too.
                self._log("error", "producer_failed", error=str(failure))
                return


def _silent(level: str, event: str, **fields: Any) -> None:
    """Log nothing: a library in someone else's service keeps quiet unless told otherwise."""
