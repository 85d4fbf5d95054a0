"""The demo's processor, and the books it keeps while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from lanternpipe.assembly import ProcessorApp
from lanternpipe.pipeline import Context, Skip
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.lag import Lag

CLOSE_SECONDS = 2.0


class Books(NamedTuple):
    """What the processor says of itself, all taken at the same moment.

    Attributes:
        finished: Records below its committed positions.
        processed: Its final outcomes.
        filtered: As ``processed``.
        dead_lettered: As ``processed``.
    """

    finished: int = 0
    processed: int = 0
    filtered: int = 0
    dead_lettered: int = 0

    @property
    def skipped(self) -> int:
        """Records that its positions went past without an outcome."""
        return self.finished - self.processed - self.filtered - self.dead_lettered


class OneToOne:
    """A transform that is watched: whether each event becomes one output, or none.

    Where it does not, outputs cannot be counted as events.
    """

    def __init__(self, transform: Callable[[Any, Context[Any]], Any], output: type) -> None:
        self.holds = True
        self._transform = transform
        self._simple = (output, Skip)

    def __call__(self, event: Any, ctx: Context[Any]) -> Any:
        """Transform an event."""
        result = self._transform(event, ctx)
        if not isinstance(result, self._simple):
            self.holds = False
        return result


class Worker:
    """Runs a processor whose input topic nobody else uses, so that offsets count records.

    Args:
        app: The processor.
        clock: Monotonic seconds.

    Attributes:
        books: Renewed in every turn of the loop.
        last_at: When a record was finished last, by the clock.
    """

    def __init__(self, app: ProcessorApp, clock: Callable[[], float] = time.monotonic) -> None:
        self.books = Books()
        self.last_at = 0.0
        self._clock = clock
        self._app = app
        self._committed: dict[TopicPartition, int] = {}

    @property
    def joined(self) -> bool:
        """Whether it has got its partitions."""
        return self._app.health.ready().ok

    def committed(self, partition: TopicPartition) -> int | None:
        """Return what it has committed on a partition; None where that is nothing."""
        return self._committed.get(partition)

    def lag(self) -> Lag:
        """Return how far it is behind on all partitions together."""
        self._app.lag.refresh()
        lags = self._app.lag.current().values()
        return Lag(
            sum(lag.records for lag in lags), max((lag.seconds for lag in lags), default=0.0)
        )

    def run(self, stopping: Callable[[], bool]) -> None:
        """Process until ``stopping()``.

        Raises:
            LanternpipeError: It cannot go on.
        """

        def stop() -> bool:
            if ending := stopping():
                # The loop would do so next, but then give up its positions, too.
                self._app.processor.work.commit()
            self._close_books()
            return ending

        try:
            self._app.processor.run(stop)
        finally:
            self._app.committer.close(CLOSE_SECONDS)

    def _close_books(self) -> None:
        """Renew the books; within the loop's own thread, so that they agree with each other."""
        work = self._app.processor.work
        for at, position in work.positions.snapshot().items():
            # Positions start afresh after a rebalance; what was committed stays so.
            self._committed[at] = max(self._committed.get(at, 0), position.committed or 0)
        finished = sum(self._committed.values())
        if finished != self.books.finished:
            self.last_at = self._clock()
        totals = work.outcomes.totals()
        self.books = Books(
            finished,
            totals["processed"],
            totals["filtered"],
            totals["dead_lettered"],
        )
