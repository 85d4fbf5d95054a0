"""What the processor's loop measures of itself, by the batch: no call here is per record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from lanternpipe.measures import (
    Distribution,
    Exemplar,
    PhaseClock,
    SlidingMaximum,
    Spread,
    Stamps,
    Tally,
)
from lanternpipe.records import Records

Phase: TypeAlias = Literal[
    "poll", "decode", "lookup", "transform", "encode", "send", "backpressure", "commit", "other"
]
PHASES: Final = (
    "poll",
    "decode",
    "lookup",
    "transform",
    "encode",
    "send",
    "backpressure",
    "commit",
    "other",
)
Point: TypeAlias = Literal["polled", "processed", "acked"]
POINTS: Final[tuple[Point, ...]] = ("polled", "processed", "acked")
Change: TypeAlias = Literal["assigned", "revoked", "lost"]
CHANGES: Final[tuple[Change, ...]] = ("assigned", "revoked", "lost")

# OpenTelemetry's advice for messaging durations.
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
# Finer below, coarser above: ages run from milliseconds to a backlog of half an hour.
AGES = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 300.0, 1800.0),
)
BATCHES = (1.0, 5.0, 10.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0)
POLL_GAP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Measured:
    """All that was measured, at one moment; sums and counts since the start of the process.

    Attributes:
        phases: Seconds by phase; they add up to the time since the start.
        ages: Age of records in seconds, by point.
        future: Records whose timestamp lay in the future.
        batches: Records per batch.
        processing: Seconds per batch from decoding to sending.
        operations: Seconds per call into Kafka, by operation and error code.
        rebalances: Seconds per change of the assignment.
        poll_gap: The longest time between two polls of the last minute, in seconds.
        progress_at: When work became final last, in seconds since 1970; 0 before.
    """

    phases: dict[str, float] = field(default_factory=dict)
    ages: dict[Point, Distribution] = field(default_factory=dict)
    future: int = 0
    batches: Distribution | None = None
    processing: Distribution | None = None
    operations: dict[tuple[str, str], Distribution] = field(default_factory=dict)
    rebalances: dict[Change, Distribution] = field(default_factory=dict)
    poll_gap: float = 0.0
    progress_at: float = 0.0


class Measures:
    """Collects what the loop tells.

    Args:
        clock: Seconds since 1970.
        monotonic: Monotonic seconds.
        ages: Whether to look at the timestamps of records, the only part that costs.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.perf_counter,
        *,
        ages: bool = True,
    ) -> None:
        self.phases = PhaseClock(PHASES, monotonic)
        self._clock = clock
        self._monotonic = monotonic
        self._look_at_ages = ages
        self._ages = {point: Tally(AGES) for point in POINTS}
        self._future = 0
        self._batches = Tally(BATCHES)
        self._processing = Tally(DURATIONS)
        self._operations: dict[tuple[str, str], Tally] = {
            (operation, ""): Tally(DURATIONS) for operation in ("poll", "commit")
        }
        self._rebalances = {change: Tally(DURATIONS) for change in CHANGES}
        self._poll_gap = SlidingMaximum(POLL_GAP_SECONDS, monotonic)
        self._polled_at: float | None = None
        self._progress_at = 0.0
        # Of records not yet committed: their ages are counted again when they are.
        self._open: list[Spread] = []

    def poll_begins(self) -> float:
        """A poll begins; returns when, for ``polled``."""
        now = self._monotonic()
        if self._polled_at is not None:
            self._poll_gap.add(now - self._polled_at)
        self._polled_at = now
        return now

    def polled(self, began: float, *, records: int) -> None:
        """A poll has ended; one without records says nothing but how long we waited."""
        if records:
            self._operation("poll", "", self._monotonic() - began)
            self._batches.add(records)

    def admitted(self, run: Records, at: float) -> Stamps:
        """Work on records has begun at that time; returns their timestamps, for ``processed``."""
        stamps = self.stamps(run.timestamps)
        self._future += self._ages["polled"].add_ages(at * 1_000, stamps)
        return stamps

    def stamps(self, timestamps: Sequence[int]) -> Stamps:
        """Return timestamps as ``processed`` wants them."""
        return Stamps.of(timestamps if self._look_at_ages else ())

    def processed(self, stamps: Stamps, seconds: float) -> None:
        """A run has been decoded, transformed, encoded and sent, which took so many seconds."""
        self._ages["processed"].add_ages(self._clock() * 1_000, stamps)
        self._processing.add(seconds)
        if (spread := stamps.spread()) is not None:
            self._open.append(spread)

    def committed(self, seconds: float) -> None:
        """All open work has become final; the call took so many seconds."""
        self._operation("commit", "", seconds)
        self.acked()
        self._progress_at = self._clock()

    def acked(self) -> None:
        """Readers see the outputs of all open work."""
        if self._open:
            now, ages = self._clock() * 1_000, self._ages["acked"]
            for spread in self._open:
                ages.add_spread(now, spread)
            self._open.clear()

    def commit_failed(self, code: str, seconds: float) -> None:
        """A commit has failed after so many seconds."""
        self._operation("commit", code, seconds)

    def undone(self) -> None:
        """All open work has been undone."""
        self._open.clear()

    @contextmanager
    def rebalance(self, change: Change) -> Iterator[None]:
        """Measure what is done within a change of the assignment."""
        began = self._monotonic()
        try:
            yield
        finally:
            self._rebalances[change].add(self._monotonic() - began)

    def exemplify(self, point: Point, exemplar: Exemplar) -> None:
        """Keep the trace of one record beside the ages of that point."""
        self._ages[point].exemplify(exemplar)

    def now(self) -> float:
        """Return monotonic seconds."""
        return self._monotonic()

    def read(self) -> Measured:
        """Return all that was measured so far."""
        return Measured(
            phases=self.phases.read(),
            ages={point: tally.read() for point, tally in self._ages.items()},
            future=self._future,
            batches=self._batches.read(),
            processing=self._processing.read(),
            operations={key: tally.read() for key, tally in self._operations.items()},
            rebalances={change: tally.read() for change, tally in self._rebalances.items()},
            poll_gap=self._poll_gap.read(),
            progress_at=self._progress_at,
        )

    def _operation(self, operation: str, error: str, seconds: float) -> None:
        key = (operation, error)
        if key not in self._operations:
            self._operations[key] = Tally(DURATIONS)
        self._operations[key].add(seconds)
