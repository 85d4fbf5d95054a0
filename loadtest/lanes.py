"""Lanes: records of one key at a steady pace, so that each that is lost or doubled can be told.

A lane sends once in `STEP_MS` of intended time, and the Kafka timestamp, which the pipeline keeps,
is that intended time. So key and timestamp together say which record of its lane a record is,
whatever its value looks like: nothing is added to a user's events. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

STEP_MS = 100
PER_SECOND = 1_000 // STEP_MS  # of one lane
OUTPUT, DEAD_LETTER = 0, 1
EXAMPLES = 5


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
        records: How many were sent.
        undelivered: Which of them the broker did not take.
        due: How many were due until it ended.
        broken: Which of them are broken, and so have to be dead letters.
    """

    name: str
    rate: int
    start: int
    records: int
    undelivered: list[int]
    due: int
    broken: list[int]


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
        self._due: int | None = None
        self._undelivered: set[int] = set()
        self._broken: set[int] = set()
        self._keys = [key_of(name, lane, first) for lane, first in enumerate(self._firsts())]

    def take(self, now: float, most: int) -> Due:
        """Return what is due by ``now`` (milliseconds since 1970), at most so many."""
        count, rate, keys = self._count, self._rate, self._keys
        due = self._due_by(now) if self._due is None else count
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
        self._undelivered.add(self._number(timestamp, key))

    def broken(self, timestamp: int, key: bytes) -> None:
        """Note that a record is broken."""
        self._broken.add(self._number(timestamp, key))

    def close(self, now: float) -> None:
        """End it: what becomes due after ``now`` (milliseconds since 1970) is not to be sent."""
        if self._due is None:
            self._due = self._due_by(now)

    def sent(self) -> Sent:
        """Return what was sent; it has to be closed."""
        if self._due is None:
            raise ValueError(f"{self._name} goes on")
        return Sent(
            self._name,
            self._rate,
            self._start,
            self._count,
            sorted(self._undelivered),
            self._due,
            sorted(self._broken),
        )

    def _due_by(self, now: float) -> int:
        return max(0, int((now - self._start) * self._rate // 1_000) + 1)

    def _number(self, timestamp: int, key: bytes) -> int:
        lane = int(key.split(b".")[2])
        return (timestamp - self._start) // STEP_MS * len(self._keys) + lane

    def _firsts(self) -> Iterable[int]:
        return [
            self._start + lane * 1_000 // self._rate for lane in range(self._rate // PER_SECOND)
        ]


def key_of(name: str, lane: int, first: int) -> bytes:
    """Return the key of a lane, which says all that its reader needs: ``load.NAME.LANE.FIRST``."""
    return b"load.%s.%d.%d" % (name.encode(), lane, first)


class Lane:
    """What has been seen of one lane."""

    __slots__ = ("both", "dead", "duplicates", "first", "last", "missing", "next", "reordered")

    def __init__(self, first: int) -> None:
        self.first, self.next = first, 0
        self.last = [-1, -1]
        self.missing: set[int] = set()
        self.dead: set[int] = set()
        self.both = self.duplicates = self.reordered = 0

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
            if topic == DEAD_LETTER:
                self.dead.add(number)
            elif number in self.dead:
                self.both += 1
            return False
        if topic == DEAD_LETTER:
            self.dead.add(number)
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
        due: Records that were to be sent.
        sent: Records that were given to the client.
        undelivered: Those of them that the broker did not take, as far as the client knows.
        seen: Records seen as an output or a dead letter, each counted once.
        lost: Records that the broker took and nobody has seen.
        duplicates: Records seen more than once.
        reordered: Records seen after a later one of their key.
        misjudged: Good records seen as dead letters, and broken ones seen as outputs.
        unknown: Records seen of senders that have not said what they sent.
        examples: Some of the lost: key and timestamp.
    """

    due: int
    sent: int
    undelivered: int
    seen: int
    lost: int
    duplicates: int
    reordered: int
    misjudged: int
    unknown: int
    examples: list[str]


def settle(lanes: Mapping[bytes, Lane | None], streams: Sequence[Sent]) -> Account:
    """Hold what was seen against what was sent."""
    examples: list[str] = []
    lost = misjudged = 0
    unknown = {key: lane for key, lane in lanes.items() if lane is not None}
    seen = sum(lane.next - len(lane.missing) for lane in unknown.values())
    duplicates = sum(lane.duplicates for lane in unknown.values())
    reordered = sum(lane.reordered for lane in unknown.values())
    for stream in streams:
        width = stream.rate // PER_SECOND
        excused, broken = by_lane(stream.undelivered, width), by_lane(stream.broken, width)
        for at in range(min(width, stream.records)):
            first = stream.start + at * 1_000 // stream.rate
            key = key_of(stream.name, at, first)
            lane = unknown.pop(key, None) or Lane(first)
            expected = (stream.records - at - 1) // width + 1
            absent = lane.missing | set(range(lane.next, expected))
            gone = absent - excused.get(at, set())
            lost += len(gone)
            misjudged += len(lane.dead ^ (broken.get(at, set()) - absent)) + lane.both
            if len(examples) < EXAMPLES:
                examples += [f"{key.decode()} at {first + each * STEP_MS}" for each in sorted(gone)]
    return Account(
        sum(stream.due for stream in streams),
        sum(stream.records for stream in streams),
        sum(len(stream.undelivered) for stream in streams),
        seen,
        lost,
        duplicates,
        reordered,
        misjudged,
        sum(lane.next - len(lane.missing) for lane in unknown.values()),
        examples[:EXAMPLES],
    )


def by_lane(numbers: Iterable[int], width: int) -> dict[int, set[int]]:
    """Return numbers within a stream as numbers within its lanes."""
    found: dict[int, set[int]] = {}
    for number in numbers:
        found.setdefault(number % width, set()).add(number // width)
    return found


def due_by_second(streams: Iterable[Sent]) -> Counter[int]:
    """Return how many records were due in each second since 1970."""
    counted: Counter[int] = Counter()
    for stream in streams:
        number = 0
        while number < stream.due:
            at = (stream.start + number * 1_000 // stream.rate) // 1_000
            # The first that is due in the next second.
            after = -(-((at + 1) * 1_000 - stream.start) * stream.rate // 1_000)
            counted[at] += min(after, stream.due) - number
            number = after
    return counted
