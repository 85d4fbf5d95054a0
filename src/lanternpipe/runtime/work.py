"""The open work: what was handed out since the last commit, and how it becomes final or undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lanternpipe.errors import RetriableFailure
from lanternpipe.ports import Log, Source
from lanternpipe.records import Records, TopicPartition
from lanternpipe.runtime.commit import Committer, WorkLostError
from lanternpipe.runtime.culprit import CulpritSearch
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.interval import CommitInterval, Pace
from lanternpipe.runtime.measure import Measures
from lanternpipe.runtime.outcomes import DUPLICATE, PROCESSED, Outcomes
from lanternpipe.runtime.plan import Plan
from lanternpipe.runtime.positions import Positions
from lanternpipe.runtime.report import Report
from lanternpipe.runtime.retry import Held
from lanternpipe.runtime.steering import Steering

LONGEST_PAUSE = 5.0  # seconds between attempts when work is lost again and again
FIRST_PAUSE = 0.1
FULL, HALF = 0.8, 0.5  # of what the producer may keep waiting
LOSSES_UNTIL_ERROR = 3  # in a row; once or twice is normal in a rebalance


class Work:
    """Keeps positions, outcomes and the committer in step.

    Invariant: whenever ``commit`` is called, every record handed out has been sent, so the
    positions are what may be committed.

    Args:
        source: Asked what is committed.
        steering: Moves the source back when work is undone or is to be tried again.
        committer: Makes work final.
        interval: Decides when a commit is due.
        health: Told of waits.
        report: Told of dead letters.
        measures: Told of commits.
        log: Writes log lines.
        pause: Waits so many seconds.
        batch_seconds: How long a batch may take at most.
    """

    def __init__(
        self,
        *,
        source: Source,
        steering: Steering,
        committer: Committer,
        interval: CommitInterval,
        health: Health,
        report: Report,
        measures: Measures,
        log: Log,
        pause: Callable[[float], None],
        batch_seconds: float,
    ) -> None:
        self.positions = Positions()
        self.outcomes = Outcomes()
        self.culprits = CulpritSearch()
        self._source = source
        self._steering = steering
        self._committer = committer
        self._interval = interval
        self._health = health
        self._report = report
        self._measures = measures
        self._log = log
        self._pause = pause
        self._pace = Pace(batch_seconds)
        self._ends: dict[TopicPartition, int] = {}
        self._open = self._full = False
        self._committed_at = self._measures.now()
        self._fetches = self._full_fetches = 0
        self._losses_in_a_row = 0

    def start(self) -> None:
        """Get the committer ready."""
        self._committer.start()

    def admit(self, run: Records) -> Records | None:
        """Note that records were handed out; return those that are to be worked on."""
        if run.source not in self.positions or run.source in self._steering:
            return None  # fetched before a rebalance or a rewind; it will come again
        fresh = self.positions.admit(run)
        self.outcomes.consumed += len(run)
        if repeated := len(run) - len(fresh):
            self.outcomes.counted[DUPLICATE] += repeated
        if not fresh:
            return None
        self.positions.advance(fresh)
        self._open = True
        return fresh

    def send(self, run: Records, plan: Plan) -> None:
        """Send what was planned for a run and count it.

        Raises:
            WorkLostError: The broker has undone the open work.
        """
        pending = self.outcomes.pending
        pending[PROCESSED] += plan.processed
        for reason, count in plan.filtered.items():
            pending["filtered", reason] += count
        for kind, count in plan.dead_lettered.items():
            pending["dead_lettered", kind] += count
        for reason, count in plan.retried.items():
            pending["retried", reason] += count
        self._report.note(run.source, plan.causes)
        for batch in plan.outgoing:
            self._committer.send(batch)

    def hold(self, run: Records, held: Held) -> None:
        """Let a partition wait at the record that is to be tried again."""
        self.outcomes.counted["retried", held.reason] += 1
        self.set_aside(run, held.place, "held", held.wait, retried=1)

    def set_aside(
        self,
        run: Records,
        place: int,
        cause: str,
        wait: float,
        *,
        since: int | None = None,
        retried: int = 0,
    ) -> None:
        """Put the records of a run from ``place`` on back; they will be delivered again.

        Args:
            run: What was handed out.
            place: The first of them.
            cause: Why, for the ledger.
            wait: Seconds until reading goes on there.
            since: From when on it counts as late, in milliseconds since 1970; by default from its
                own time on.
            retried: How many of them have been counted already.
        """
        back = len(run) - place
        self.outcomes.counted["abandoned", cause] += back - retried
        since = run.timestamps[place] if since is None else since
        self.positions.retreat(run.source, run.offsets[place], back, since)
        self._steering.hold(run.source, run.offsets[place], wait)

    def waits(self, partition: TopicPartition) -> bool:
        """Tell whether a partition is to be read again, so that nothing of it counts just now."""
        return partition in self._steering

    def drop(self, run: Records) -> None:
        """Put a whole run back whose partition already waits at an earlier record."""
        self.outcomes.counted["abandoned", "held"] += len(run)
        self.positions.retreat(run.source, None, len(run), 0)

    def reach_ends(self, ends: Iterable[tuple[TopicPartition, int]]) -> None:
        """Move over transaction markers at the end of partitions, so that lag reaches 0.

        Ends are kept while the broker cannot be asked what is committed; when work is undone or
        partitions go, theirs are forgotten, or records that are read again would be skipped.
        """
        self._ends.update((at, offset) for at, offset in ends if at not in self._steering)
        if not self._ends:
            return
        try:
            if unknown := self.positions.unknown(self._ends):
                self.positions.know_committed(self._source.committed(unknown))
        except RetriableFailure as failure:
            self._health.wait(failure.code)
            return
        for partition, offset in self._ends.items():
            self.positions.reach_end(partition, offset)
        self._ends.clear()
        self._open = True

    def start_partition(self, partition: TopicPartition, offset: int) -> None:
        """Note where a partition without committed offset begins; the next commit pins it."""
        self.positions.start(partition, offset)
        self._open = True

    def forget(self, partition: TopicPartition, cause: str) -> bool:
        """Stand nowhere on a partition that has a new log; False if we did already.

        Its old offsets mean nothing there: records below the position would pass for duplicates.
        """
        position = self.positions.snapshot()[partition]
        if position.next is None:
            return False
        if position.in_flight:
            self.abort(cause)
        self.let_go([partition])
        self.take([partition])
        return True

    def room(self, most: int) -> int:
        """Return how many records may be fetched into the open work."""
        most = min(most, self._pace.records(most))
        if self.culprits.limit is None:
            return most
        return max(1, min(most, self.culprits.limit - self.positions.in_flight()))

    def fits(self, records: int) -> bool:
        """Tell whether the user's code is known to be quick enough for so many records at once."""
        return self._pace.fits(records)

    def took(self, records: int, seconds: float) -> None:
        """Learn how long the user's code took over some records."""
        self._pace.observe(records, seconds)

    def seconds_until_due(self, most: float) -> float:
        """Return how long to wait for records before a commit is due."""
        most = self._steering.seconds_until_due(most)
        if not self._open:
            return most
        due = self._committed_at + self._interval.seconds
        return min(most, max(0.0, due - self._measures.now()))

    def commit_if_due(self, *, full: bool) -> None:
        """Commit when it is time; ``full`` tells whether the last fetch was.

        A commit that fails undoes the work.
        """
        self._fetches += 1
        self._full_fetches += full
        limit = self.culprits.limit
        searched = limit is not None and self.positions.in_flight() >= limit
        if self._open and (searched or self.seconds_until_due(1.0) == 0):
            self.commit()

    def commit(self) -> None:
        """Make all work since the last commit final; undo it if that fails."""
        offsets = self.positions.uncommitted()
        self._open = False
        if not offsets:
            return
        before = self._measures.phases.enter("commit")
        began = self._measures.now()
        try:
            self._committer.commit(offsets)
        except WorkLostError as lost:
            self._measures.commit_failed(lost.code, self._measures.now() - began)
            self.undo(lost)
            return
        finally:
            self._measures.phases.enter(before)
        self._committed_at = self._measures.now()
        self._measures.committed(self._committed_at - began)
        self.positions.note_commit(offsets)
        self.outcomes.commit()
        self.culprits.committed(offsets)
        self._report.commit()
        self._health.flows()
        self._interval.observe(
            self._committed_at - began, behind=self._full_fetches * 2 > self._fetches
        )
        self._fetches = self._full_fetches = self._losses_in_a_row = 0

    def abort(self, cause: str) -> None:
        """Undo all work since the last commit."""
        self._committer.abort()
        self._give_back(WorkLostError(cause), "warning")

    def change_clients(self) -> None:
        """Commit all work, then go on with new clients, which join the group anew.

        Raises:
            RefusedFailure: The new ones are not let in.
        """
        self.commit()
        self._committer.renew()
        self.let_go(list(self.positions.snapshot()))
        self._source.rebuild()

    def begin_again(self, cause: str) -> None:
        """Undo all work since the last commit and join the group anew, with new clients.

        Raises:
            RefusedFailure: We may not; nothing is open all the same.
        """
        try:
            self.abort(cause)
        finally:
            self.let_go(list(self.positions.snapshot()))
            self._source.rebuild()

    def undo(self, lost: WorkLostError) -> None:
        """Follow the committer, which has undone the work on the broker."""
        self._losses_in_a_row += 1
        persistent = self._losses_in_a_row > LOSSES_UNTIL_ERROR and self.culprits.limit is None
        self._give_back(lost, "error" if persistent else "warning")
        if self._losses_in_a_row > 1 and self.culprits.limit is None:
            doublings = min(self._losses_in_a_row, 10)
            self._pause(min(LONGEST_PAUSE, FIRST_PAUSE * 2**doublings))

    def _give_back(self, lost: WorkLostError, level: str) -> None:
        positions = self.positions.snapshot()
        # Only records can be at fault: an end alone, behind markers, has none.
        stretch = {
            at: span for at, span in self.positions.touched().items() if positions[at].in_flight
        }
        targets, records = self.positions.rewind()
        self.outcomes.abandon(records, lost.code)
        self._measures.undone()
        self._report.abandon()
        if lost.ask_broker:
            targets.update(self._ask_committed())
        self._steering.move(targets)
        for partition in targets:
            self._ends.pop(partition, None)
        self._open = False
        self._log(level, "work_undone", cause=lost.code, records=records)
        if lost.refused:
            self.culprits.refused(lost.code, stretch, records)

    def serve(self) -> None:
        """Serve what the clients have to tell while there are no records."""
        self._committer.serve()

    def look(self) -> None:
        """Measure what readers see by now, where that is before a commit."""
        if self._open and self._committer.delivered():
            self._measures.acked()

    def take(self, partitions: Iterable[TopicPartition]) -> None:
        """Take over partitions that have been given to us."""
        partitions = list(partitions)
        self.positions.assign(partitions)
        self._steering.assigned(partitions)

    def full(self) -> bool:
        """Tell whether so much waits for the broker that nothing more should be read.

        Once full, it is so until half has gone: to pause and resume costs a fetch.
        """
        fullness = self._committer.fullness()
        self._full = fullness >= (HALF if self._full else FULL)
        return self._full

    def let_go(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions that are no longer ours."""
        partitions = list(partitions)
        self.outcomes.abandon(self.positions.drop(partitions), "revoked")
        self.culprits.dropped(partitions)
        self._steering.dropped(partitions)
        for partition in partitions:
            self._ends.pop(partition, None)

    def _ask_committed(self) -> dict[TopicPartition, int]:
        """Return what the broker has: the transaction may have been committed after all."""
        while True:
            try:
                committed = self._source.committed(self.positions.snapshot())
            except RetriableFailure as failure:
                self._health.wait(failure.code)
            else:
                known = {at: offset for at, offset in committed.items() if offset is not None}
                self.positions.resume_at(known)
                return known
