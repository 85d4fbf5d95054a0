"""How long to wait between commits, and how many records fit between two. Pure.

A commit costs a few round trips whatever it holds, so while behind we commit seldom (throughput)
and when caught up often (latency), and never so often that commits eat the time for work.
"""

from __future__ import annotations

# Share of the time that commits may take when caught up: one part in so many.
WORK_PER_COMMIT = 4


class CommitInterval:
    """Adapts the seconds between commits.

    It doubles or halves by the step, so that a single slow commit or a short burst does not make
    it jump (hysteresis).
    """

    def __init__(self, shortest: float, longest: float) -> None:
        self.shortest = shortest
        self.longest = longest
        self.seconds = shortest

    def observe(self, commit_seconds: float, *, behind: bool) -> None:
        """Learn from one commit.

        Args:
            commit_seconds: How long the commit took.
            behind: Whether most batches since the commit before it were full.
        """
        floor = min(max(self.shortest, commit_seconds * WORK_PER_COMMIT), self.longest)
        target = self.longest if behind else floor
        if self.seconds < target:
            self.seconds = min(self.seconds * 2, target)
        else:
            self.seconds = max(self.seconds / 2, target)


class Pace:
    """Keeps batches short enough for a slow transform.

    A batch that takes longer than the transaction may last is undone, and would be for ever.

    Args:
        seconds: How long a batch may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._per_record = 0.0
        self._knows = False

    def observe(self, records: int, seconds: float) -> None:
        """Learn how long some records took."""
        self._per_record = seconds / records
        self._knows = True

    def fits(self, records: int) -> bool:
        """Tell whether it is known that so many records are not too many."""
        return self._knows and self._per_record * records <= self._seconds

    def records(self, most: int) -> int:
        """Return how many records to take."""
        if self._per_record * most <= self._seconds:
            return most
        return max(1, int(self._seconds / self._per_record))
