"""The search for saturation: the highest rate that a pipeline bears.

Up by half as much again while all is well; after the first failure half way between what held and
what did not, until they are close. After a failure what has piled up is let go down first, or the
next trial would pay for it. To judge by what piles up is OpenMessaging Benchmark's idea. Pure:
decides, and waits for nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

SETTLE = 4  # windows after a change that do not count: a processor that was idle has to wake
JUDGE = 6  # windows that decide
GROWTH = 1.5
CLOSE = 1.08
PATIENCE = 30  # windows for what has piled up to go down
PILES_UP = 0.02  # of the rate, in records per second
AT_REST = 0.5  # seconds of the rate that may be on their way

Cause = Literal["piles up", "latency", "generator"]


class Window(NamedTuple):
    """What was seen in one second.

    Attributes:
        behind: Records sent and not yet seen, at its end.
        p99_ms: From the intended time to the sight of the output; None where nothing was seen.
        late_ms: 99th percentile from the intended time to the client's acceptance.
    """

    behind: int
    p99_ms: float | None
    late_ms: float


class Trial(msgspec.Struct, frozen=True):
    """One rate that was tried, and why it did not hold; None if it did."""

    rate: float
    cause: Cause | None


class Found(msgspec.Struct, frozen=True):
    """What a search has found.

    Attributes:
        best: The highest rate that held; 0 if none did.
        trials: What has been tried.
    """

    best: float
    trials: list[Trial]


@dataclass
class Search:
    """Where a search stands.

    Attributes:
        rate: What to send now, in records per second.
        top: Where to end.
        p99_ms: The limit.
        late_ms: A generator that is later than this does not count as a load.
        best: The highest rate that held; 0 if none did.
        trials: What has been tried.
        done: Whether it is over.
    """

    rate: float
    top: float
    p99_ms: float
    late_ms: float
    best: float = 0.0
    trials: list[Trial] = field(default_factory=list)
    done: bool = False
    _lowest_failed: float | None = None
    _next: float | None = None  # what is tried when what has piled up is gone
    _windows: list[Window] = field(default_factory=list)

    def found(self) -> Found:
        """Return what it has found so far."""
        return Found(self.best, self.trials)

    def see(self, window: Window) -> None:
        """Take the next second, and decide the rate."""
        self._windows.append(window)
        if self._next is not None:
            if window.behind <= AT_REST * self.rate:
                self._try(self._next)
            elif len(self._windows) >= PATIENCE:
                self.done = True  # it does not recover even at a rate that held
        elif len(self._windows) == SETTLE + JUDGE:
            self._judge(self._windows[SETTLE:])

    def _judge(self, windows: list[Window]) -> None:
        cause = judged(windows, self.rate, self.p99_ms, self.late_ms)
        self.trials.append(Trial(self.rate, cause))
        if cause is None:
            self.best = self.rate
        else:
            self._lowest_failed = self.rate
        failed = self._lowest_failed
        if failed is None:
            wanted = min(self.top, self.rate * GROWTH)
        elif self.best:
            wanted = (self.best + failed) / 2
        else:
            wanted = failed / GROWTH**2
        if self._is_over():
            self.done = True
        elif cause is None:
            self._try(wanted)
        else:
            self._next = wanted
            self._try_meanwhile(self.best / 2 or self.rate / 10)

    def _is_over(self) -> bool:
        if self._lowest_failed is None:
            return self.best >= self.top
        if not self.best:
            return len(self.trials) > PATIENCE // 3
        return self._lowest_failed / self.best < CLOSE

    def _try(self, rate: float) -> None:
        self.rate, self._next, self._windows = rate, None, []

    def _try_meanwhile(self, rate: float) -> None:
        self.rate, self._windows = rate, []


def judged(windows: list[Window], rate: float, p99_ms: float, late_ms: float) -> Cause | None:
    """Return why a rate does not hold; None if it does."""
    # The generator first: where it is late, the rest says nothing of the pipeline.
    if sorted(window.late_ms for window in windows)[len(windows) // 2] > late_ms:
        return "generator"
    grown = (windows[-1].behind - windows[0].behind) / (len(windows) - 1)
    if grown > PILES_UP * rate:
        return "piles up"
    known = sorted(window.p99_ms for window in windows if window.p99_ms is not None)
    if not known or known[len(known) // 2] > p99_ms:
        return "latency"
    return None
