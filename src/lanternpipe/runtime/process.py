"""The processor's loop: fetch, plan, send, commit. Thin; what is decided is decided elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lanternpipe.errors import RefusedFailure
from lanternpipe.pipeline import Context
from lanternpipe.ports import Log, Source, Tracing
from lanternpipe.records import Fetched, Records, TopicPartition
from lanternpipe.runtime.batch import Planner
from lanternpipe.runtime.breaker import Breaker, Share
from lanternpipe.runtime.commit import OUTDATED, Committer, WorkLostError
from lanternpipe.runtime.heal import StallWatch
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.hops import due, has_hopped, ready, unwrapped
from lanternpipe.runtime.interval import CommitInterval
from lanternpipe.runtime.measure import Measures
from lanternpipe.runtime.plan import Plan
from lanternpipe.runtime.probe import OpenBreaker
from lanternpipe.runtime.rebalance import Rebalance
from lanternpipe.runtime.report import Report
from lanternpipe.runtime.sight import Sight
from lanternpipe.runtime.stall import Stalls
from lanternpipe.runtime.start import PartitionStart
from lanternpipe.runtime.steering import Steering
from lanternpipe.runtime.untraced import NoTracing
from lanternpipe.runtime.work import Work

IDLE_WAIT = 0.1  # seconds; how late a stop request may be noticed
LEAST_WAIT = 0.2  # seconds; many records that become due one by one are taken together
SHORT_RUN = 50  # records; as many cost as much as a run does
REFUSED_PAUSE = 2.0  # seconds between attempts at what we may not do
SIGHT_EVERY = 0.5  # seconds; how old the numbers may be that other threads see

ALL_IS_RIGHT = Breaker(ratio=1.0, window=1, enabled=False)


class FloodError(Exception):
    """Raised when most records of late would be dead letters.

    Args:
        share: How many.
    """

    def __init__(self, share: Share) -> None:
        super().__init__(str(share))
        self.share = share


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
        breaker: Judges plans; by default all are right.
        hops: Topics of records that have been here before: retry and replay topics.
        stalls: Finds partitions that stand still; by default none.
        ends: Last stable offsets of the assigned partitions; nothing while they are not fresh.
        outdated: Tells, once, that the clients have to be replaced.
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
        breaker: Breaker = ALL_IS_RIGHT,
        hops: Container[str] = (),
        stalls: Stalls | None = None,
        ends: Callable[[], Mapping[TopicPartition, int]] = dict,
        version: Callable[[], int] = lambda: 0,
    ) -> None:
        self.measures = measures or Measures(clock)
        self._tracing = tracing or NoTracing()
        self._report = Report(log)
        self._steering = Steering(source, self.measures.now)
        self.work = Work(
            source=source,
            steering=self._steering,
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
        self._batch_seconds = batch_seconds
        self._health = health
        self._clock = clock
        self._hops = hops
        self._breaker = breaker
        self._open = OpenBreaker(
            breaker,
            steering=self._steering,
            health=health,
            plan=lambda run: planner.plan(run, self._context()),
            hops=hops,
            log=log,
            clock=self.measures.now,
        )
        self._stalls = StallWatch(
            stalls or Stalls(math.inf),
            ends=ends,
            work=self.work,
            steering=self._steering,
            log=log,
            clock=self.measures.now,
        )
        self._pause = pause
        self._wanted_version = version
        self._version = version()
        self._refused = False  # and have not begun again since
        self._log = log
        self._rebalance = Rebalance(self.work, self.measures, health, log)
        self._start = PartitionStart(
            source, self.work, start=start, hops=hops, group=group, health=health, log=log
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
        self.start()
        while not stopping():
            self.step()
        self.stop()

    def start(self) -> None:
        """Get ready and join the group."""
        self.work.start()
        self._source.subscribe(self._rebalance)

    def stop(self) -> None:
        """Commit and leave the group."""
        self.work.commit()
        self._look()
        self._report.tell_dead_letters()
        self._source.close()

    def step(self) -> None:
        """Do one turn of the loop.

        Raises:
            RefusedFailure: We have not been let in since the start.
        """
        if why := self._health.hopeless():
            raise RefusedFailure(*why)
        try:
            if self._refused:
                self._begin_again()
            self._turn()
        except RefusedFailure as failure:
            # Rights come and go while we run: a restart would not bring them back.
            if failure.code != OUTDATED:
                self._health.refused(failure.code, failure.message)
            with suppress(RefusedFailure):  # of a producer that is not let in either
                self._begin_again()
            self._look()
            self._pause(REFUSED_PAUSE)

    @property
    def outdated(self) -> bool:
        """Whether the clients' certificates have been replaced by newer ones."""
        return self._version != self._wanted_version()

    def _change_clients(self) -> None:
        began, version = self.measures.now(), self._wanted_version()
        self.work.change_clients()
        self._version = version
        self._health.flows()  # what the old ones were refused does not matter any more
        self._log("info", "clients_replaced", seconds=round(self.measures.now() - began, 3))

    def _begin_again(self) -> None:
        self._refused = True  # until that was done
        self.work.begin_again("refused")
        self._refused = False

    def _turn(self) -> None:
        self._health.beat()
        if self.outdated:
            self._change_clients()
        self.steer()
        fetched = self._fetch()
        self._start.find(fetched.lost)
        if fetched.lost:  # what came before the loss is of the old log, or will come again
            fetched = fetched.without(fetched.lost)
        if self._open:
            self._open.step(fetched)
        else:
            try:
                self._handle(fetched)
            except WorkLostError as lost:
                self.work.undo(lost)
            except FloodError as flood:
                self.work.abort("breaker_open")
                self._open.open(flood.share)
        self.measures.phases.enter("other")
        self.work.reach_ends(each for each in fetched.ends if not self._steering.ahead(each[0]))
        if not fetched.runs:
            self.work.serve()
        self.work.look()
        self.work.commit_if_due(full=fetched.full)
        self._stalls.polled(full=fetched.full, excused=bool(self._open))
        self._report.tell(self.work.outcomes, self.work.positions.in_flight)
        if self.measures.now() - self._sighted_at >= SIGHT_EVERY:
            self._look()

    def leave(self) -> None:
        """Leave the group after a failure, so that others need not wait for our session to end.

        Nothing is committed any more: what is open is done again by whoever comes next.
        """
        self._rebalance.disarm()
        self._source.close()

    def steer(self) -> None:
        """Move and pause the source as far as is to be."""
        if self.work.full():
            self._steering.stop("backpressure")
        else:
            self._steering.go("backpressure")
        self._steering.apply(self.work.positions.snapshot().keys())

    def _fetch(self) -> Fetched:
        measures, work = self.measures, self.work
        measures.phases.enter("backpressure" if self._steering.stopped("backpressure") else "poll")
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
            waiting=self._steering.waiting,
            breaker_open=bool(self._open),
            breaker_openings=self._open.opened,
            stalls=self._stalls.healed,
        )
        self._sighted_at = self.measures.now()

    def _context(self) -> Context[Any]:
        return Context(int(self._clock()), self._app_settings)

    def _handle(self, fetched: Fetched) -> None:
        work = self.work
        # All runs are noted as handed out before any is sent: if sending fails, all are undone.
        admitted = [fresh for run in fetched.runs if (fresh := work.admit(run)) is not None]
        ctx = self._context()
        if self._are_one(admitted) and self._handle_run(Records.joined(admitted), ctx):
            return
        ends_at = self.measures.now() + self._batch_seconds
        for run in admitted:
            if work.waits(run.source):
                work.drop(run)
                continue
            if self.measures.now() > ends_at:  # or the transaction would expire
                work.set_aside(run, 0, "no_time", 0.0)
                continue
            hop = run.source.topic in self._hops
            original = unwrapped(run) if hop or has_hopped(run) else run
            if ready_now := self._due(original) if hop else original:
                self._handle_run(ready_now, ctx)

    def _are_one(self, runs: Sequence[Records]) -> bool:
        """Tell whether runs may be worked on as one, for the price of one."""
        return (
            len(runs) > 1
            and (records := sum(map(len, runs))) <= SHORT_RUN * len(runs)
            and self.work.fits(records)
            and self.work.culprits.limit is None
            and not any(
                run.source.topic in self._hops or run.unreadable or has_hopped(run) for run in runs
            )
        )

    def _due(self, run: Records) -> Records:
        """Return the records of a hop that may be worked on; the others are put back."""
        now_ms = self._clock() * 1_000
        count = ready(run, now_ms)
        if count < len(run):
            since = due(run, run.offsets[count])
            wait = max(LEAST_WAIT, (since - now_ms) / 1_000)
            self.work.set_aside(run, count, "not_due", wait, since=since)
            run = run.head(count)
        return run

    def _handle_run(self, run: Records, ctx: Context[Any]) -> bool:
        """Work on a run; False, and nothing is done, where several runs cannot be one."""
        work, measures = self.work, self.measures
        enter = measures.phases.enter
        began, began_at = measures.now(), self._clock()
        traced, planner = self._tracing.begin(run), self._planner
        plan: Plan | None
        if run.sources:
            plan = planner.plan_several(traced.records, ctx, enter=enter)
        else:
            verdicts = work.culprits.verdicts(run)
            plan = planner.plan(traced.records, ctx, verdicts, enter=enter, failed=traced.failed)
        work.took(len(run), measures.now() - began)
        if plan is None:
            return False
        stamps = measures.admitted(run, began_at)
        if run.source.topic not in self._hops and (flood := self._breaker.trips(run, plan)):
            raise FloodError(flood)
        enter("send")
        work.send(run, plan)
        enter("other")
        failures = {offset: (cause.kind, cause.stage) for offset, cause in plan.failures()}
        until = len(run)
        if plan.held is not None:
            work.hold(run, plan.held)
            until = plan.held.place
            failures[run.offsets[until]] = plan.held.reason, "transform"
            stamps = measures.stamps(run.timestamps[:until])
        measures.processed(stamps, measures.now() - began)
        if exemplar := traced.end(failures, began_at, self._polled, until + 1):
            measures.exemplify("processed", exemplar)
        return True
