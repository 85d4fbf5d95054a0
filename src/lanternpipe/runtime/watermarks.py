"""What the broker holds: watermarks of the input, and dead letters; asked beside the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from lanternpipe.errors import KafkaFailure
from lanternpipe.records import Backlog, TopicPartition

HIGH_EVERY = 2.0  # seconds
REST_EVERY = 15.0  # seconds; first offsets and dead letters change slowly


class Logs(Protocol):
    """Knows what partitions hold; each call may raise ``KafkaFailure``."""

    def high(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the high watermark of each partition."""

    def first(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that each partition still has."""

    def backlog(self, topic: str) -> Backlog:
        """Return what a topic holds."""


@dataclass(frozen=True, slots=True)
class Watermarks:
    """What was answered last.

    Attributes:
        high: Offset behind the last record, open transactions included.
        first: First offset that exists.
        dead_letters: What the topic of the dead letters holds; None before the first answer.
        at: When the high watermarks were asked for, in seconds since 1970; 0 before an answer.
    """

    high: Mapping[TopicPartition, int] = field(default_factory=dict)
    first: Mapping[TopicPartition, int] = field(default_factory=dict)
    dead_letters: Backlog | None = None
    at: float = 0.0


class WatermarkWatch:
    """Keeps watermarks, no older than a few seconds.

    Args:
        logs: Who knows.
        partitions: Those that are ours.
        dead_letters: Their topic.
        clock: Seconds since 1970.

    Attributes:
        known: What was answered last.
    """

    def __init__(
        self,
        logs: Logs,
        partitions: Callable[[], Iterable[TopicPartition]],
        dead_letters: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.known = Watermarks()
        self._logs = logs
        self._partitions = partitions
        self._dead_letters = dead_letters
        self._clock = clock
        self._rest_at = 0.0

    def refresh(self) -> None:
        """Ask now; an answer that does not come leaves what was known before."""
        partitions = list(self._partitions())
        now = self._clock()
        try:
            high = self._logs.high(partitions)
            self.known = replace(self.known, high=high, at=now)
            if now - self._rest_at >= REST_EVERY or self.known.first.keys() != high.keys():
                first = self._logs.first(partitions)
                letters = self._logs.backlog(self._dead_letters)
                self.known = replace(self.known, first=first, dead_letters=letters)
                self._rest_at = now
        except KafkaFailure:
            return
