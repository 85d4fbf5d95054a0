"""Stops at a flood of dead letters: when most records fail, the fault is hardly theirs. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

from lanternpipe.records import Records
from lanternpipe.runtime.plan import Plan

PROBE_EVERY = 30.0  # seconds between two looks at whether the flood has passed
PROBE_SECONDS = 10.0  # a probe that brings fewer records than a window ends after so long


@dataclass(slots=True)
class Share:
    """How many of some records would be dead letters.

    Attributes:
        records: How many.
        dead: How many of them.
    """

    records: int = 0
    dead: int = 0

    def __str__(self) -> str:
        percent = 100 * self.dead / self.records if self.records else 0.0
        return f"{self.dead} of the last {self.records} records ({percent:.0f} %)"


@dataclass(slots=True)
class Breaker:
    """Judges plans before they are carried out.

    Args:
        ratio: Share of dead letters at which it opens.
        window: How many records it judges by at least.
        accept_before: Records older than this pass unjudged; milliseconds since 1970.
        enabled: Whether it judges at all.
    """

    ratio: float
    window: int
    accept_before: int = 0
    enabled: bool = True
    _shares: deque[Share] = field(default_factory=deque)
    _seen: Share = field(default_factory=Share)

    def trips(self, records: Records, plan: Plan) -> Share | None:
        """Take a plan into account; return what speaks against it, None where nothing does."""
        share = self.share(records, plan)
        if not share.records:
            return None
        seen = self._seen
        self._shares.append(share)
        seen.records += share.records
        seen.dead += share.dead
        while self._shares and seen.records - self._shares[0].records >= self.window:
            gone = self._shares.popleft()
            seen.records -= gone.records
            seen.dead -= gone.dead
        return seen if seen.records >= self.window and self.too_many(seen) else None

    def too_many(self, share: Share) -> bool:
        """Tell whether so many dead letters are a flood."""
        return share.dead >= self.ratio * share.records

    def share(self, records: Records, plan: Plan) -> Share:
        """Return what counts of a plan."""
        if not self.enabled:
            return Share()
        count = len(records) if plan.held is None else plan.held.place
        if not self.accept_before:
            return Share(count, len(plan.causes))
        judged = [stamp >= self.accept_before for stamp in records.timestamps[:count]]
        dead = sum(judged[bisect_left(records.offsets, offset)] for offset, _ in plan.causes)
        return Share(sum(judged), dead)

    def close(self) -> None:
        """Forget what was seen, and begin anew."""
        self._shares.clear()
        self._seen = Share()
