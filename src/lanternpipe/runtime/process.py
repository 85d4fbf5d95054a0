"""The processor's loop: fetch, plan, send, commit. Thin; what is decided is decided elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lanternpipe.pipeline import Context
from lanternpipe.ports import Log, Source
from lanternpipe.records import Fetched
from lanternpipe.runtime.batch import Planner
from lanternpipe.runtime.commit import Committer, WorkLostError
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.interval import CommitInterval
from lanternpipe.runtime.rebalance import Rebalance
from lanternpipe.runtime.report import Report
from lanternpipe.runtime.start import PartitionStart
from lanternpipe.runtime.work import Work

IDLE_WAIT = 0.1  # seconds; how late a stop request may be noticed


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
        health: Told that the loop moves, and what it waits for.
        log: Writes log lines.
        clock: Seconds since 1970.
        pause: Waits so many seconds.
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
        health: Health,
        log: Log,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._report = Report(log)
        self.work = Work(
            source=source,
            committer=committer,
            interval=interval,
            health=health,
            report=self._report,
            log=log,
            pause=pause,
        )
        self._source = source
        self._planner = planner
        self._app_settings = app_settings
        self._batch_records = batch_records
        self._health = health
        self._clock = clock
        self._rebalance = Rebalance(self.work, health, log)
        self._start = PartitionStart(
            source, self.work, start=start, group=group, health=health, log=log
        )

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
        self._report.tell_dead_letters()
        self._source.close()

    def step(self) -> None:
        """Do one turn of the loop."""
        self._health.beat()
        self.work.seek()
        fetched = self._source.fetch(
            self.work.room(self._batch_records), self.work.seconds_until_due(IDLE_WAIT)
        )
        self._start.find(fetched.lost)
        try:
            self._handle(fetched)
        except WorkLostError as lost:
            self.work.undo(lost)
        self.work.reach_ends(fetched.ends)
        if not fetched.runs:
            self.work.serve()
        self.work.commit_if_due(full=fetched.full)
        self._report.tell(self.work.outcomes, self.work.positions.in_flight)

    def leave(self) -> None:
        """Leave the group after a failure, so that others need not wait for our session to end.

        Nothing is committed any more: what is open is done again by whoever comes next.
        """
        self._rebalance.disarm()
        self._source.close()

    def _handle(self, fetched: Fetched) -> None:
        work = self.work
        # All runs are noted as handed out before any is sent: if sending fails, all are undone.
        admitted = [fresh for run in fetched.runs if (fresh := work.admit(run)) is not None]
        ctx: Context[Any] = Context(int(self._clock()), self._app_settings)
        for run in admitted:
            work.send(run, self._planner.plan(run, ctx, work.culprits.verdicts(run)))
