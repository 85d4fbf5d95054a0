"""Lanes: records of one key at a steady pace, so that each that is lost or doubled can be told.

A lane sends once in `STEP_MS` of intended time, and the Kafka timestamp, which the pipeline keeps,
is that intended time. So key and timestamp together say which record of its lane a record is,
whatever its value looks like: nothing is added to a user's events. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

STEP_MS = 100
PER_SECOND = 1_000 // STEP_MS  # of one lane
OUTPUT, DEAD_LETTER = 0, 1


class Due(NamedTuple):
    """Records that are due: keys, and when each was due in milliseconds since 1970."""

    keys: list[bytes]
    timestamps: list[int]


class Sent(NamedTuple):
    """What one stream has sent in all.

    Attributes:
        name: Of the stream.
        rate: Its records per second.
        start: When its first record was due, in milliseconds since 1970.
        records: How many.
        undelivered: Which of them the broker did not take.
    """

    name: str
    rate: int
    start: int
    records: int
    undelivered: list[int]


class Stream:
    """An open loop at one rate: what is due does not wait for what has come back.

    Args:
        name: Unique among all streams of all runs, without dots.
        rate: Records per second, a multiple of `PER_SECOND`.
        start: When the first is due, in milliseconds since 1970.
    """

    def __init__(self, name: str, rate: int, start: int) -> None:
        if rate < PER_SECOND or rate % PER_SECOND:
            raise ValueError(f"a rate of {rate} is not a multiple of {PER_SECOND}")
        self._name, self._rate, self._start = name, rate, start
        self._count = 0
        self._undelivered: set[int] = set()
        self._keys = [key_of(name, lane, first) for lane, first in enumerate(self._firsts())]

    def take(self, now: float, most: int) -> Due:
        """Return what is due by ``now`` (milliseconds since 1970), at most so many."""
        count, rate, keys = self._count, self._rate, self._keys
        due = max(0, int((now - self._start) * rate // 1_000) + 1)
        numbers = range(count, min(due, count + most))
        self._count = max(count, numbers.stop)
        return Due(
            [keys[number % len(keys)] for number in numbers],
            [self._start + number * 1_000 // rate for number in numbers],
        )

    def next_due(self) -> float:
        """Return when the next record is due, in milliseconds since 1970."""
        return self._start + self._count * 1_000 / self._rate

    def not_delivered(self, timestamp: int, key: bytes) -> None:
        """Note that the broker did not take a record."""
        lane = int(key.split(b".")[2])
        self._undelivered.add((timestamp - self._start) // STEP_MS * len(self._keys) + lane)

    def sent(self) -> Sent:
        """Return what was sent so far."""
        return Sent(self._name, self._rate, self._start, self._count, sorted(self._undelivered))

    def _firsts(self) -> Iterable[int]:
        return [
            self._start + lane * 1_000 // self._rate for lane in range(self._rate // PER_SECOND)
        ]


def key_of(name: str, lane: int, first: int) -> bytes:
    """Return the key of a lane, which says all that its reader needs: ``load.NAME.LANE.FIRST``."""
    return b"load.%s.%d.%d" % (name.encode(), lane, first)


class Lane:
    """What has been seen of one lane."""

    __slots__ = ("duplicates", "first", "last", "missing", "next", "reordered")

    def __init__(self, first: int) -> None:
        self.first, self.next = first, 0
        self.last = [-1, -1]
        self.missing: set[int] = set()
        self.duplicates = self.reordered = 0

    def see(self, timestamp: int, topic: int = OUTPUT) -> bool:
        """Take a record; False if it was seen before. Order counts within each topic."""
        number = (timestamp - self.first) // STEP_MS
        if number == self.next:
            self.next = number + 1
        elif number > self.next:
            self.missing.update(range(self.next, number))
            self.next = number + 1
        elif number in self.missing:
            self.missing.remove(number)
        else:
            self.duplicates += 1
            return False
        if number < self.last[topic]:
            self.reordered += 1
        else:
            self.last[topic] = number
        return True


class Lanes(dict[bytes, "Lane | None"]):
    """The lanes of one run by key; None for the keys of others."""

    def __init__(self, run: str) -> None:
        self._prefix = f"load.{run}-".encode()

    def __missing__(self, key: bytes) -> Lane | None:
        """Open a lane when its first record is seen."""
        lane = Lane(int(key.rpartition(b".")[2])) if key.startswith(self._prefix) else None
        self[key] = lane
        return lane


class Account(msgspec.Struct, frozen=True):
    """What became of all records of a run.

    Attributes:
        sent: Records that the client took.
        undelivered: Those of them that the broker did not take, as far as the client knows.
        seen: Records seen as an output or a dead letter, each counted once.
        lost: Records that the broker took and nobody has seen.
        duplicates: Records seen more than once.
        reordered: Records seen after a later one of their key.
        examples: Some of the lost: key and timestamp.
    """

    sent: int
    undelivered: int
    seen: int
    lost: int
    duplicates: int
    reordered: int
    examples: list[str]


def settle(lanes: Mapping[bytes, Lane | None], streams: Sequence[Sent]) -> Account:
    """Hold what was seen against what was sent."""
    lost: list[str] = []
    seen = undelivered = 0
    ours = [lane for lane in lanes.values() if lane is not None]
    seen = sum(lane.next - len(lane.missing) for lane in ours)
    for stream in streams:
        width = stream.rate // PER_SECOND
        excused: dict[int, set[int]] = {}
        for number in stream.undelivered:
            excused.setdefault(number % width, set()).add(number // width)
        undelivered += len(stream.undelivered)
        for at in range(min(width, stream.records)):
            first = stream.start + at * 1_000 // stream.rate
            key = key_of(stream.name, at, first)
            lane = lanes.get(key) or Lane(first)
            expected = (stream.records - at - 1) // width + 1
            absent = lane.missing | set(range(lane.next, expected))
            lost += [
                f"{key.decode()} at {first + number * STEP_MS}"
                for number in sorted(absent - excused.get(at, set()))
            ]
    return Account(
        sum(stream.records for stream in streams),
        undelivered,
        seen,
        len(lost),
        sum(lane.duplicates for lane in ours),
        sum(lane.reordered for lane in ours),
        lost[:5],
    )
