"""What the loops count, by the batch and in plain numbers; published elsewhere. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple


class Exemplar(NamedTuple):
    """One measured value with the trace that shows how it came about.

    Attributes:
        value: As measured.
        at: Seconds since 1970.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
    """

    value: float
    at: float
    trace_id: str
    span_id: str


class Spread(NamedTuple):
    """What is kept of the timestamps of a batch for later.

    The timestamps themselves would be half a million numbers by the next commit, which cost more to
    keep than to count.

    Attributes:
        first: The oldest.
        last: The newest.
        records: How many.
        total: Their sum.
    """

    first: int
    last: int
    records: int
    total: int


class Stamps(NamedTuple):
    """Timestamps of a batch, looked at several times.

    Attributes:
        ascending: Milliseconds since 1970.
        total: Their sum.
    """

    ascending: Sequence[int]
    total: int

    def spread(self) -> Spread | None:
        """Return what to keep; None where there is nothing."""
        stamps = self.ascending
        return Spread(stamps[0], stamps[-1], len(stamps), self.total) if stamps else None

    @classmethod
    def of(cls, timestamps: Sequence[int]) -> Stamps:
        """Sort timestamps, which is quick as they mostly ascend; 0 means that there is none."""
        ascending = sorted(timestamps)
        if ascending and not ascending[0]:
            ascending = [stamp for stamp in ascending if stamp]
        return cls(ascending, sum(ascending))


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram at one moment.

    Attributes:
        bounds: Upper bounds of the buckets, ascending; one more bucket is unbounded.
        counts: Per bucket, not cumulated; one longer than ``bounds``.
        total: Sum of all values.
        exemplars: The latest of each bucket, by its place.
    """

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)

    def cumulated(self) -> list[int]:
        """Return how many values are at or below each bound, and how many there are."""
        return list(accumulate(self.counts))


class Tally:
    """Counts values into buckets.

    Args:
        bounds: Upper bounds of the buckets, ascending.
    """

    __slots__ = ("_bounds", "_counts", "_exemplars", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._exemplars: dict[int, Exemplar] = {}

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def add_ages(self, now_ms: float, given: Stamps) -> int:
        """Count the ages of timestamps, in seconds.

        Exact, at the price of a few searches per batch: all of a batch are often in one bucket. A
        timestamp from the future counts as age 0; returns how many there were.
        """
        stamps = given.ascending
        if not stamps:
            return 0
        bounds, counts = self._bounds, self._counts
        youngest = bisect_left(bounds, max(0.0, now_ms - stamps[-1]) / 1_000)
        oldest = bisect_left(bounds, max(0.0, now_ms - stamps[0]) / 1_000)
        left = len(stamps)
        for place in range(youngest, oldest):
            # At or below a bound is who was stamped no earlier than that long ago.
            older = bisect_left(stamps, now_ms - bounds[place] * 1_000, 0, left)
            counts[place] += left - older
            left = older
        counts[oldest] += left
        past = bisect_right(stamps, now_ms)
        total = given.total if past == len(stamps) else sum(stamps[:past])
        self._total += (now_ms * past - total) / 1_000
        return len(stamps) - past

    def add_spread(self, now_ms: float, given: Spread) -> None:
        """Count the ages of a batch; where they straddle a bound, as if evenly spread."""
        bounds, counts = self._bounds, self._counts
        youngest = bisect_left(bounds, max(0.0, now_ms - given.last) / 1_000)
        oldest = bisect_left(bounds, max(0.0, now_ms - given.first) / 1_000)
        left = given.records
        for place in range(youngest, oldest):
            past = now_ms - bounds[place] * 1_000 - given.first
            older = round(given.records * past / (given.last - given.first))
            older = min(left, max(0, older))
            counts[place] += left - older
            left = older
        counts[oldest] += left
        self._total += max(0.0, now_ms * given.records - given.total) / 1_000

    def exemplify(self, exemplar: Exemplar) -> None:
        """Keep the latest exemplar of its bucket."""
        self._exemplars[bisect_left(self._bounds, exemplar.value)] = exemplar

    def read(self) -> Distribution:
        """Return what was counted so far."""
        return Distribution(self._bounds, tuple(self._counts), self._total, self._exemplars.copy())


class PhaseClock:
    """Splits wall-clock time among phases; what they add up to is the time since the start.

    Args:
        phases: Their names; the clock starts in the last.
        clock: Monotonic seconds.
    """

    def __init__(self, phases: Sequence[str], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds = dict.fromkeys(phases, 0.0)
        self._phase = phases[-1]
        self._since = clock()

    def enter(self, phase: str) -> str:
        """Begin a phase, which ends the one before; returns that one, to go back to."""
        now, before = self._clock(), self._phase
        self._seconds[before] += now - self._since
        self._phase, self._since = phase, now
        return before

    def read(self) -> dict[str, float]:
        """Return the seconds spent in each phase, the running one included."""
        self.enter(self._phase)
        return self._seconds.copy()


class SlidingMaximum:
    """The largest value of the last minute or so, by halves of that time.

    Args:
        seconds: For how long a value counts at least.
        clock: Monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._turned = clock()
        self._now = self._before = 0.0

    def add(self, value: float) -> None:
        """Take a value into account."""
        self._turn()
        self._now = max(self._now, value)

    def read(self) -> float:
        """Return the largest value."""
        self._turn()
        return max(self._now, self._before)

    def _turn(self) -> None:
        passed = self._clock() - self._turned
        if passed >= self._seconds:
            self._before = self._now if passed < 2 * self._seconds else 0.0
            self._now = 0.0
            self._turned += passed
