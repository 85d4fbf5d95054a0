"""Finds what stands still although there is work: a record in the transform, or a partition."""

from __future__ import annotations

import faulthandler
import math
import operator
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

from lanternpipe.records import TopicPartition
from lanternpipe.runtime.batch import Progress
from lanternpipe.runtime.positions import Position
from lanternpipe.runtime.watchdog import EXIT_HUNG, end_process

# Polls that brought less than was asked for: then nothing was left in the client's own queue.
HUNGRY_POLLS = 3
LOOK_SECONDS = 1.0
SELDOM = 5.0  # seconds between looks from which on nothing is concluded from earlier ones


class _Still(NamedTuple):
    """A partition that has records and does not move."""

    next: int | None
    since: float
    polls: int


class Stalls:
    """Finds partitions that stand still though a committed reader could read on. Pure.

    Such a partition is not told by an error: the client just does not fetch it any more.

    Args:
        after: Seconds of standing still.
    """

    def __init__(self, after: float) -> None:
        self._after = after
        self._still: dict[TopicPartition, _Still] = {}
        self._looked_at = -math.inf

    def look(
        self,
        now: float,
        positions: Mapping[TopicPartition, Position],
        ends: Mapping[TopicPartition, int],
        *,
        waiting: Collection[TopicPartition],
        polls: int,
    ) -> list[TopicPartition]:
        """Return the partitions that are stuck.

        Args:
            now: Monotonic seconds.
            positions: Where we stand.
            ends: Last stable offsets; only those that are fresh.
            waiting: Partitions that are not to be read just now.
            polls: How many polls have brought less than was asked for.
        """
        if now - self._looked_at > SELDOM:  # something else has held the loop up
            self._still = {}
        self._looked_at = now
        still: dict[TopicPartition, _Still] = {}
        for at, position in positions.items():
            if at in waiting or ends.get(at, 0) <= (position.next or 0):
                continue
            before = self._still.get(at)
            if before is None or before.next != position.next:
                before = _Still(position.next, now, polls)
            still[at] = before
        self._still = still
        return [
            at
            for at, each in still.items()
            if now - each.since >= self._after and polls - each.polls >= HUNGRY_POLLS
        ]


@contextmanager
def watched_transform(
    progress: Callable[[], Progress | None], seconds: float, clock: Callable[[], float]
) -> Iterator[None]:
    """End the process when the transform does not come back from a record.

    A slow transform that goes on from record to record is left alone. One that hangs within C
    code and never lets other threads run is ended by ``faulthandler``, after twice the time.

    Args:
        progress: What the transform is at; None while it does not run.
        seconds: How long a single record may take.
        clock: Monotonic seconds.
    """
    done = threading.Event()

    def watch() -> None:
        seen, since = None, clock()
        while not done.wait(min(LOOK_SECONDS, seconds / 4)):
            _arm(2 * seconds)
            at = progress()
            now = None if at is None else (id(at.events), operator.length_hint(at.events))
            if now is None or now != seen:
                seen, since = now, clock()
            elif at is not None and clock() - since >= seconds:
                end_process(
                    EXIT_HUNG,
                    f"the transform has not come back from {at.record()} for {seconds:g} s "
                    "(PIPELINE_STALL_AFTER); ending the process so that another can take over",
                    stacks=True,
                )

    watcher = threading.Thread(target=watch, name="stalls", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        faulthandler.cancel_dump_traceback_later()


def _arm(seconds: float) -> None:
    with suppress(ValueError, OSError, RuntimeError):  # no standard error to write to
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.stderr)
