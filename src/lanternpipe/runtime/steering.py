"""Where reading goes on, and which partitions wait: seeks and pauses, as far as the client lets."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, TypeAlias

from lanternpipe.ports import Source
from lanternpipe.records import TopicPartition

Cause: TypeAlias = Literal["breaker", "backpressure"]


class Steering:
    """Moves the source, and lets partitions wait.

    What the client refuses, as it does in the midst of a rebalance, is tried again at the next
    turn of the loop.

    Args:
        source: What is steered.
        clock: Monotonic seconds.
    """

    def __init__(self, source: Source, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._seeks: dict[TopicPartition, int] = {}
        self._until: dict[TopicPartition, float] = {}
        self._causes: set[Cause] = set()
        self._paused: set[TopicPartition] = set()
        self._unknown: set[TopicPartition] = set()
        self._ahead: dict[TopicPartition, int] = {}

    def __contains__(self, partition: TopicPartition) -> bool:
        """Tell whether a partition is still to be moved: what comes from it now is stale."""
        return partition in self._seeks

    @property
    def waiting(self) -> frozenset[TopicPartition]:
        """The partitions that are not to be read just now, or are still to be moved or resumed."""
        return frozenset({*self._paused, *self._until, *self._seeks})

    def move(self, targets: Mapping[TopicPartition, int]) -> None:
        """Go on reading elsewhere, and at once, also where a partition was to wait."""
        self._seeks.update(targets)
        for at in targets:
            self._until.pop(at, None)

    def hold(self, at: TopicPartition, offset: int, seconds: float) -> None:
        """Go on reading at ``offset``, but not before so many seconds have passed."""
        self._seeks[at] = offset
        self._until[at] = self._clock() + seconds

    def look_ahead(self, at: TopicPartition, offset: int) -> None:
        """Note that a record was read which is to be read again; of several, the first counts."""
        self._ahead.setdefault(at, offset)

    def ahead(self, at: TopicPartition) -> bool:
        """Tell whether records of a partition were read that are to be read again."""
        return at in self._ahead

    def turn_back(self) -> None:
        """Go back to where looking ahead began."""
        self.move(self._ahead)
        self._ahead.clear()

    def stop(self, cause: Cause) -> None:
        """Let all partitions wait until ``go``."""
        self._causes.add(cause)

    def go(self, cause: Cause) -> None:
        """Let partitions go on, as far as this cause is concerned."""
        self._causes.discard(cause)

    def stopped(self, cause: Cause) -> bool:
        """Tell whether all partitions wait for this cause."""
        return cause in self._causes

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Learn of new partitions; the client may still have them paused from an earlier time."""
        self._unknown.update(partitions)

    def dropped(self, partitions: Iterable[TopicPartition]) -> None:
        """Learn that partitions are no longer ours."""
        for at in partitions:
            self._seeks.pop(at, None)
            self._until.pop(at, None)
            self._ahead.pop(at, None)
            self._paused.discard(at)
            self._unknown.discard(at)

    def apply(self, ours: Collection[TopicPartition]) -> None:
        """Tell the client what has changed."""
        for at, offset in list(self._seeks.items()):
            if self._source.seek(at, offset):
                del self._seeks[at]
        if not (self._until or self._causes or self._paused or self._unknown):
            return
        now = self._clock()
        self._until = {at: until for at, until in self._until.items() if until > now}
        wanted = set(ours) if self._causes else set(self._until)
        pausing = wanted - self._paused
        if pausing and self._source.pause(pausing):
            self._paused |= pausing
            self._unknown -= pausing
        resuming = (self._paused | self._unknown) - wanted
        if resuming and self._source.resume(resuming):
            self._paused -= resuming
            self._unknown -= resuming

    def seconds_until_due(self, most: float) -> float:
        """Return how long until the next partition goes on."""
        soonest = min(self._until.values(), default=math.inf)
        return min(most, max(0.0, soonest - self._clock()))
