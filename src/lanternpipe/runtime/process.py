"""The processor's loop: fetch, plan, send, commit. Thin; what is decided is decided elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lanternpipe.pipeline import Context
from lanternpipe.ports import Log, Source, Tracing
from lanternpipe.records import Fetched, TopicPartition
from lanternpipe.runtime.batch import Planner
from lanternpipe.runtime.commit import Committer, WorkLostError
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.interval import CommitInterval
from lanternpipe.runtime.measure import Measured, Measures
from lanternpipe.runtime.outcomes import Outcome
from lanternpipe.runtime.positions import Position
from lanternpipe.runtime.rebalance import Rebalance
from lanternpipe.runtime.report import Report
from lanternpipe.runtime.start import PartitionStart
from lanternpipe.runtime.untraced import NoTracing
from lanternpipe.runtime.work import Work

IDLE_WAIT = 0.1  # seconds; how late a stop request may be noticed
SIGHT_EVERY = 0.5  # seconds; how old the numbers may be that other threads see


@dataclass(frozen=True, slots=True)
class Sight:
    """What the loop knows of itself at the end of one turn, for other threads to read.

    Attributes:
        consumed: Deliveries handed to this process.
        in_flight: Deliveries not yet committed.
        unaccounted: Deliveries that nobody knows the fate of; anything but 0 is a bug.
        outcomes: Final outcomes by outcome and reason.
        positions: Where each assigned partition stands.
        measured: Times, ages and sizes.
    """

    consumed: int = 0
    in_flight: int = 0
    unaccounted: int = 0
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    positions: Mapping[TopicPartition, Position] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)


class Processor:
    """Takes records from a source, hands them to the planner and commits what it made of them.

    Everything fetched in a step is sent before the next fetch, and rebalance callbacks run within
    fetch; so whenever partitions are taken away, no step is half done.

    Args:
        source: Where records come from.
        committer: Sends outputs and makes them final.
        planner: Decides what becomes of records.
        app_settings: The user's own settings, for the context of transforms.
        interval: Decides how often to commit.
        start: Where a partition without committed offset begins.
        group: Name of the consumer group.
        batch_records: Most records in one pass.
        batch_seconds: How long the user's code may take over them; fewer are taken when it is slow.
        health: Told that the loop moves, and what it waits for.
        log: Writes log lines.
        clock: Seconds since 1970.
        pause: Waits so many seconds.
        measures: Told of times, ages and sizes.
        tracing: Decides which records are traced; by default none.
    """

    def __init__(
        self,
        *,
        source: Source,
        committer: Committer,
        planner: Planner,
        app_settings: object,
        interval: CommitInterval,
        start: str,
        group: str,
        batch_records: int,
        batch_seconds: float = math.inf,
        health: Health,
        log: Log,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        measures: Measures | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.measures = measures or Measures(clock)
        self._tracing = tracing or NoTracing()
        self._report = Report(log)
        self.work = Work(
            source=source,
            committer=committer,
            interval=interval,
            health=health,
            report=self._report,
            measures=self.measures,
            log=log,
            pause=pause,
            batch_seconds=batch_seconds,
        )
        self._source = source
        self._planner = planner
        self._app_settings = app_settings
        self._batch_records = batch_records
        self._health = health
        self._clock = clock
        self._rebalance = Rebalance(self.work, self.measures, health, log)
        self._start = PartitionStart(
            source, self.work, start=start, group=group, health=health, log=log
        )
        self.sight = Sight()
        self._polled = (0.0, 0.0)
        self._sighted_at = 0.0

    def run(self, stopping: Callable[[], bool]) -> None:
        """Process until ``stopping()``, then commit and leave the group.

        Raises:
            FatalFailure: The client cannot go on; what was open is aborted by the broker.
            OffsetError: A committed offset no longer exists.
        """
        self.work.start()
        self._source.subscribe(self._rebalance)
        while not stopping():
            self.step()
        self.work.commit()
        self._look()
        self._report.tell_dead_letters()
        self._source.close()

    def step(self) -> None:
        """Do one turn of the loop."""
        self._health.beat()
        self.work.seek()
        fetched = self._fetch()
        self._start.find(fetched.lost)
        try:
            self._handle(fetched)
        except WorkLostError as lost:
            self.work.undo(lost)
        self.measures.phases.enter("other")
        self.work.reach_ends(fetched.ends)
        if not fetched.runs:
            self.work.serve()
        self.work.commit_if_due(full=fetched.full)
        self._report.tell(self.work.outcomes, self.work.positions.in_flight)
        if self.measures.now() - self._sighted_at >= SIGHT_EVERY:
            self._look()

    def leave(self) -> None:
        """Leave the group after a failure, so that others need not wait for our session to end.

        Nothing is committed any more: what is open is done again by whoever comes next.
        """
        self._rebalance.disarm()
        self._source.close()

    def _fetch(self) -> Fetched:
        measures, work = self.measures, self.work
        measures.phases.enter("poll")
        polled_at = self._clock()
        began = measures.poll_begins()
        fetched = self._source.fetch(
            work.room(self._batch_records), work.seconds_until_due(IDLE_WAIT)
        )
        measures.phases.enter("other")
        self._polled = (polled_at, self._clock())
        if work.positions.snapshot().keys() != self.sight.positions.keys():
            self._look()  # what came may take long, and new partitions have their lag already
        measures.polled(began, records=sum(map(len, fetched.runs)))
        return fetched

    def _look(self) -> None:
        """Take stock for other threads; between two batches, when all numbers agree."""
        positions, outcomes = self.work.positions, self.work.outcomes
        in_flight = positions.in_flight()
        self.sight = Sight(
            consumed=outcomes.consumed,
            in_flight=in_flight,
            unaccounted=outcomes.unaccounted(in_flight),
            outcomes=outcomes.counted.copy(),
            positions={at: replace(each) for at, each in positions.snapshot().items()},
            measured=self.measures.read(),
        )
        self._sighted_at = self.measures.now()

    def _handle(self, fetched: Fetched) -> None:
        work, measures = self.work, self.measures
        enter = measures.phases.enter
        # All runs are noted as handed out before any is sent: if sending fails, all are undone.
        admitted = [fresh for run in fetched.runs if (fresh := work.admit(run)) is not None]
        ctx: Context[Any] = Context(int(self._clock()), self._app_settings)
        for run in admitted:
            stamps, began, began_at = measures.admitted(run), measures.now(), self._clock()
            traced = self._tracing.begin(run)
            verdicts = work.culprits.verdicts(run)
            plan = self._planner.plan(
                traced.records, ctx, verdicts, enter=enter, failed=traced.failed
            )
            work.took(len(run), measures.now() - began)
            enter("send")
            work.send(run, plan)
            enter("other")
            measures.processed(stamps, measures.now() - began)
            failures = {offset: (cause.kind, cause.stage) for offset, cause in plan.causes}
            if exemplar := traced.end(failures, began_at, self._polled):
                measures.exemplify("processed", exemplar)
