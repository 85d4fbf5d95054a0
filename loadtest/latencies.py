"""Latencies as counts by value: they add up over seconds and processes, and nothing is sampled.

Whole milliseconds, exact below 2,048; above, three digits are kept, rounded up, so that an outage
of minutes takes no more room than a good second. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

EXACT_BELOW = 2_048


class Latencies:
    """A distribution of latencies.

    Attributes:
        counts: How many, by milliseconds.
    """

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter(counts or {})

    def add(self, milliseconds: Iterable[int]) -> None:
        """Count each of these; what is below zero, by clocks that differ, counts as zero."""
        for value, count in Counter(milliseconds).items():
            self.counts[rounded(value)] += count

    def merge(self, other: Latencies) -> None:
        """Add what another holds."""
        self.counts.update(other.counts)

    @property
    def total(self) -> int:
        """How many there are."""
        return self.counts.total()

    def percentile(self, share: float) -> int | None:
        """Return the least value that at least this share (0 to 1) does not exceed, if any is."""
        wanted, so_far = share * self.total, 0
        for value in sorted(self.counts):
            so_far += self.counts[value]
            if so_far >= wanted:
                return value
        return None


def rounded(milliseconds: int) -> int:
    """Return the value that a latency counts as."""
    if milliseconds < EXACT_BELOW:
        return max(0, milliseconds)
    unit: int = 10 ** (len(str(milliseconds)) - 3)
    return -(-milliseconds // unit) * unit


def of_text(counts: Mapping[str, int]) -> Latencies:
    """Return what was written as JSON, whose keys are text."""
    return Latencies({int(value): count for value, count in counts.items()})
