"""The search for saturation: the highest rate that a pipeline bears.

Up by half as much again while all is well; after the first failure half way between what held and
what did not, until they are close; then what held has to hold for half a minute, or a bit less.
After a failure what has piled up is let go down first, or the next trial would pay for it. To
judge by what piles up is OpenMessaging Benchmark's idea. Pure: decides, and waits for nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from loadtest.latencies import Latencies

SETTLE = 4  # windows after a change that do not count: a processor that was idle has to wake
JUDGE = 6  # windows that decide
CONFIRM = 30  # windows in which the best must hold
GROWTH = 1.5
CLOSE = 1.08
CONFIRMATIONS = 5  # rates, each a bit less than the one before, that may fail to hold for long
MOST_FAILURES = 10  # where nothing has held yet
PATIENCE = 30  # windows for what has piled up to go down
# What piles up by less than this share of the rate in a second counts as flat: in a trial of
# seconds it cannot be told from the beat of commits. The last trial is long enough for less.
PILES_UP, PILES_UP_LONG = 0.02, 0.005
SENT = 0.98  # of the rate; a generator that sends less is what gives way
AT_REST = 0.5  # seconds of the rate that may be on their way

Cause = Literal["piles up", "latency", "generator"]
Limit = Literal["piles up", "latency", "generator", "top", "unfinished"]


class Window(NamedTuple):
    """What was seen in one second.

    Attributes:
        at: Which second.
        behind: Records sent and not yet seen, at its end.
        sent: Records sent.
        end_to_end: From the intended time to the sight of the output.
        delay: From the intended time to the client's acceptance.
    """

    at: int
    behind: int
    sent: int
    end_to_end: Latencies
    delay: Latencies


class Trial(msgspec.Struct, frozen=True):
    """One rate that was tried, and why it did not hold; None if it did.

    Attributes:
        rate: Records per second that were asked for.
        sent: Records per second that were sent.
        seconds: For how long.
        p99_ms: From the intended time to the sight of the output; None where nothing was seen.
        cause: Why it did not hold.
    """

    rate: float
    sent: float
    seconds: int
    p99_ms: int | None
    cause: Cause | None


class Found(msgspec.Struct, frozen=True):
    """What a search has found.

    Attributes:
        best: The highest rate that held for half a minute, as it was sent; 0 if none did.
        limit: What was in the way of more; ``unfinished`` where the search has not come to its
            end, and so has found nothing.
        trials: What has been tried.
    """

    best: float
    limit: Limit
    trials: list[Trial]


@dataclass
class Search:
    """Where a search stands.

    Attributes:
        rate: What to send now, in records per second.
        top: Where to end.
        p99_ms: The limit.
        late_ms: A generator that is later than this does not count as a load.
        step: What rates are multiples of.
        best: The highest rate that held in a short trial; 0 if none did.
        trials: What has been tried.
        done: Whether it is over.
        confirmed: What was sent where the best held for long; 0 if it has not.
    """

    rate: float
    top: float
    p99_ms: float
    late_ms: float
    step: float = 1.0
    best: float = 0.0
    trials: list[Trial] = field(default_factory=list)
    done: bool = False
    confirmed: float = 0.0
    _confirming: bool = False
    _lowest_failed: float | None = None
    _next: float | None = None  # what is tried when what has piled up is gone
    _windows: list[Window] = field(default_factory=list)

    def found(self) -> Found:
        """Return what it has found so far."""
        failures = [trial for trial in self.trials if trial.cause is not None]
        limit: Limit = "unfinished"
        if self.confirmed:
            lowest = min(failures, key=lambda trial: trial.rate, default=None)
            limit = lowest.cause if lowest is not None and lowest.cause else "top"
        return Found(self.confirmed, limit, self.trials)

    def see(self, window: Window) -> None:
        """Take the next second, and decide the rate."""
        if self._windows and window.at <= self._windows[-1].at:
            return
        self._windows.append(window)
        if self._next is not None:
            if window.behind <= AT_REST * self.rate:
                self._try(self._next)
            elif len(self._windows) >= PATIENCE:
                self.done = True  # it does not recover even at a rate that held
        elif len(self._windows) == SETTLE + (CONFIRM if self._confirming else JUDGE):
            self._judge(self._windows[SETTLE:])

    def _judge(self, windows: list[Window]) -> None:
        piles_up = PILES_UP_LONG if self._confirming else PILES_UP
        trial = judged(windows, self.rate, self.p99_ms, self.late_ms, piles_up)
        self.trials.append(trial)
        if self._confirming:
            self._confirm(trial)
        else:
            self._go_on(trial.cause)

    def _confirm(self, trial: Trial) -> None:
        if trial.cause is None:
            self.confirmed, self.done = trial.sent, True
        elif sum(each.seconds == CONFIRM for each in self.trials) == CONFIRMATIONS:
            self.done = True
        else:
            self._next = self.rate / CLOSE
            self._try_meanwhile(self.rate / 2)

    def _go_on(self, cause: Cause | None) -> None:
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
            self._confirming = bool(self.best)
            self.done = not self._confirming
            self._next = self.best
            self._try_meanwhile(self.best / 2)
        elif cause is None:
            self._try(wanted)
        else:
            self._next = wanted
            self._try_meanwhile(self.best / 2 or self.rate / 10)

    def _is_over(self) -> bool:
        if self._lowest_failed is None:
            return self.best >= self.top
        if not self.best:
            return self._lowest_failed <= self.step or len(self.trials) > MOST_FAILURES
        apart = self._lowest_failed - self.best
        return apart <= self.step or apart < (CLOSE - 1) * self.best

    def _try(self, rate: float) -> None:
        steps = max(1, round(min(rate, self.top) / self.step))
        self.rate, self._next, self._windows = steps * self.step, None, []

    def _try_meanwhile(self, rate: float) -> None:
        self.rate, self._windows = rate, []


def judged(
    windows: list[Window], rate: float, p99_ms: float, late_ms: float, piles_up: float = PILES_UP
) -> Trial:
    """Return how a rate did, by all records of all windows."""
    end_to_end, delay = Latencies(), Latencies()
    for window in windows:
        end_to_end.merge(window.end_to_end)
        delay.merge(window.delay)
    seconds = windows[-1].at - windows[0].at
    sent = sum(window.sent for window in windows) / len(windows)
    grown = (windows[-1].behind - windows[0].behind) / max(1, seconds)
    seen, late = end_to_end.percentile(0.99), delay.percentile(0.99)
    cause: Cause | None = None
    # The generator first: where it is late, the rest says nothing of the pipeline.
    if late is None or late > late_ms or sent < SENT * rate:
        cause = "generator"
    elif grown > piles_up * rate:
        cause = "piles up"
    elif seen is None or seen > p99_ms or not all(window.end_to_end.total for window in windows):
        cause = "latency"
    return Trial(rate, round(sent), len(windows), seen, cause)
