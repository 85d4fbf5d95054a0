"""Lag of the assigned partitions, asked beside the loop and never by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from lanternpipe.errors import KafkaFailure
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.beside import repeatedly
from lanternpipe.runtime.positions import Position

EVERY_SECONDS = 1.0
FRESH_SECONDS = 5.0


class Ends(Protocol):
    """Knows where partitions end."""

    def last_stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset at which a committed reader ends, for each partition.

        Raises:
            KafkaFailure: The broker did not answer.
        """


class Lag(NamedTuple):
    """How far one partition is behind: records, and age of the oldest unfinished in seconds."""

    records: int
    seconds: float


def lag(position: Position, end: int, now: float) -> Lag | None:
    """Return the lag of a partition; None while its position is not known.

    Args:
        position: Where we stand.
        end: The last stable offset.
        now: Seconds since 1970.
    """
    if position.next is None:
        return None
    behind = max(0, end - position.next)
    if not behind and not position.in_flight:
        return Lag(0, 0.0)
    # Nothing in hand: the record that was finished last is no younger than the next one.
    since = position.oldest_ms or position.newest_ms
    return Lag(behind, max(0.0, now - since / 1_000) if since else 0.0)


class LagWatch:
    """Keeps the lag of all assigned partitions, no older than a second or so.

    Args:
        ends: Where partitions end.
        positions: Where we stand.
        clock: Seconds since 1970.
        on_answer: Called whenever the broker has answered.

    Attributes:
        last_stable: What was answered last.
        asked_at: When that was asked, in seconds since 1970; 0 before the first answer.
    """

    def __init__(
        self,
        ends: Ends,
        positions: Callable[[], Mapping[TopicPartition, Position]],
        *,
        clock: Callable[[], float] = time.time,
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        self._ends = ends
        self._positions = positions
        self._clock = clock
        self._on_answer = on_answer
        self.last_stable: dict[TopicPartition, int] = {}
        self.asked_at = 0.0

    def current(self) -> dict[TopicPartition, Lag]:
        """Return the lag of each assigned partition for which it is known."""
        now, known = self._clock(), self.last_stable
        return {
            partition: found
            for partition, position in self._positions().items()
            if partition in known and (found := lag(position, known[partition], now)) is not None
        }

    def fresh(self) -> Mapping[TopicPartition, int]:
        """Return the last stable offsets, or nothing where they were asked for long ago."""
        return self.last_stable if self._clock() - self.asked_at < FRESH_SECONDS else {}

    def running(self) -> AbstractContextManager[None]:
        """Ask the broker once a second, in a thread, within the block."""
        return repeatedly(self.refresh, EVERY_SECONDS, "lag")

    def refresh(self) -> None:
        """Ask the broker now; an answer that does not come leaves what was known before."""
        now = self._clock()
        try:
            self.last_stable = self._ends.last_stable(self._positions())
        except KafkaFailure:
            return
        self.asked_at = now
        self._on_answer()
