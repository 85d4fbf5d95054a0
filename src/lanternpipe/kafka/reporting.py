"""The sender of single records: a confluent_kafka producer that reports each delivery."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException, Producer

from lanternpipe.errors import RefusedFailure
from lanternpipe.kafka.clients import Events, opened, reopened
from lanternpipe.kafka.config import Config
from lanternpipe.kafka.errors import failure
from lanternpipe.kafka.producer import served
from lanternpipe.kafka.rotation import LOOK_SECONDS, Rotation
from lanternpipe.ports import Log
from lanternpipe.records import Headers
from lanternpipe.settings import SecuritySettings

KEPT_SECONDS = 5.0  # another thread may just be giving the old one a record
FLUSH_SECONDS = 10.0  # for what is under way when a client is replaced


class ReportingProducer:
    """Sends single records and reports each delivery; safe to call from several threads.

    New passwords and certificates are taken over while it is polled.

    Args:
        config: As made by ``producer_config``.
        security: Names the files to look at.
        log: Writes log lines.
        clock: Monotonic seconds.

    Attributes:
        statistics: What the client tells of itself, where it is configured to.
    """

    def __init__(
        self,
        config: Config,
        security: SecuritySettings,
        *,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        events = Events("producer", log)
        self.statistics = events.statistics
        # Without a report of success, a caller could not tell acknowledged from waiting.
        reporting = {"delivery.report.only.error": False}
        self._config = {**config, **events.hooks(), **reporting}
        self._producer = opened(Producer, self._config)
        self._replaced: list[tuple[Producer, float]] = []  # and since when
        self._rotating = threading.Lock()
        self._rotation = Rotation(security, [self], log=log)
        self._version = self._rotation.version
        self._clock = clock
        self._looked_at = clock()

    def __len__(self) -> int:
        """Return how many records wait for their acknowledgement."""
        return sum(map(len, self._clients()))

    def poll(self, timeout: float) -> None:
        """Serve delivery reports, waiting up to ``timeout`` seconds for one."""
        if self._rotating.acquire(blocking=False):  # one thread is enough
            try:
                self._rotate()
            finally:
                self._rotating.release()
        served(self._producer.poll, timeout)

    def flush(self, timeout: float) -> int:
        """Wait for acknowledgements; return how many records are still without one."""
        ends = self._clock() + timeout
        for each in self._clients():
            served(each.flush, max(0.0, ends - self._clock()))
        return len(self)

    def log_in_with(self, username: str, password: str) -> None:
        """Use this from the next login on."""
        self._producer.set_sasl_credentials(username, password)

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: str | bytes | None,
        report: Callable[[Any, Any], None],
        timestamp: int = 0,
        headers: Headers | None = None,
    ) -> bool:
        """Enqueue a record; False if the queue is full."""
        extra: Any = () if headers is None else (headers,)
        try:
            self._producer.produce(topic, value, key, -1, report, None, timestamp, *extra)
        except BufferError:
            return False
        except KafkaException as error:
            raise failure(error.args[0], f"producing to {topic}") from error
        return True

    def _rotate(self) -> None:
        if self._clock() - self._looked_at > LOOK_SECONDS:
            self._looked_at = self._clock()
            self._rotation.look()
            if self._rotation.version != self._version:
                self._replace(self._rotation.version)
        now = self._clock()
        for old, _ in self._replaced:
            served(old.poll, 0)
        self._replaced = [
            (old, since) for old, since in self._replaced if len(old) or now - since < KEPT_SECONDS
        ]

    def _clients(self) -> list[Producer]:
        """Return all clients that may hold records, the oldest first."""
        return [*(old for old, _ in self._replaced), self._producer]

    def _replace(self, version: int) -> None:
        """Open a new client; the old one goes when it has nothing left.

        It is emptied first, as well as it goes, since two clients keep no order between them. What
        other threads give it meanwhile is not lost: it is served until it is empty.
        """
        try:
            new = reopened(Producer, self._config)
        except RefusedFailure as failure:  # files that are being replaced once more
            self._rotation.complain(str(failure))
            return
        self._version = version
        old = self._producer
        served(old.flush, FLUSH_SECONDS)
        self._replaced.append((old, self._clock()))
        self._producer = new
