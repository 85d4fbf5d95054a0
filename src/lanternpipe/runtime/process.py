"""The processor's loop: fetch, plan, send, commit. Thin; what is decided is decided elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from lanternpipe.errors import OffsetError, RetriableFailure
from lanternpipe.pipeline import Context
from lanternpipe.records import Fetched, Records, TopicPartition
from lanternpipe.runtime.batch import Plan, Planner
from lanternpipe.runtime.commit import Committer, WorkLostError
from lanternpipe.runtime.culprit import CulpritSearch
from lanternpipe.runtime.deadletter import Cause
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.interval import CommitInterval
from lanternpipe.runtime.outcomes import DUPLICATE, PROCESSED, Outcomes
from lanternpipe.ports import Log, Source
from lanternpipe.runtime.positions import Positions

IDLE_WAIT = 0.1  # seconds; how late a stop request or a due commit may be noticed
LONGEST_PAUSE = 5.0  # seconds between attempts when work is lost again and again
SUMMARY_EVERY = 10.0  # seconds


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
        batch_records: int,
        health: Health,
        log: Log,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.positions = Positions()
        self.outcomes = Outcomes()
        self._source = source
        self._committer = committer
        self._planner = planner
        self._app_settings = app_settings
        self._interval = interval
        self._start = start
        self._batch_records = batch_records
        self._health = health
        self._log = log
        self._clock = clock
        self._pause = pause
        self._search = CulpritSearch()
        self._seeks: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._without_offset: set[TopicPartition] = set()
        self._uncommitted = False
        self._committed_at = time.monotonic()
        self._fetches = self._full_fetches = self._losses = 0
        self._causes: list[tuple[TopicPartition, int, Cause]] = []
        self._summed_at = time.monotonic()

    def run(self, stopping: Callable[[], bool]) -> None:
        """Process until ``stopping()``, then commit and leave the group.

        Raises:
            FatalFailure: The client cannot go on; what was open is aborted by the broker.
            OffsetError: A committed offset no longer exists.
        """
        self._committer.start()
        self._source.subscribe(self)
        while not stopping():
            self.step()
        self._commit_or_rewind()
        self._source.close()

    def step(self) -> None:
        """Do one turn of the loop."""
        self._health.beat()
        self._seek()
        fetched = self._source.fetch(self._room(), self._wait())
        self._fetches += 1
        self._full_fetches += fetched.full
        if fetched.lost or self._without_offset:
            self._without_offset.update(fetched.lost)
            self._find_start()
        try:
            self._handle(fetched)
        except WorkLostError as lost:
            self._rewind(lost)
        self._ends.update(fetched.ends)
        if self._ends:
            self._note_ends()
        if self._commit_due():
            self._commit_or_rewind()
        self._summarise()

    def on_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Take over partitions; reading starts at their committed offsets."""
        partitions = list(partitions)
        self.positions.assign(partitions)
        self._health.joined()
        self._log("info", "partitions_assigned", partitions=[*map(str, partitions)])

    def on_revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Commit, then let go: no open work survives a revoke."""
        partitions = list(partitions)
        self._commit_or_rewind()
        self._let_go(partitions)
        self._log("info", "partitions_revoked", partitions=[*map(str, partitions)])

    def on_lost(self, partitions: Iterable[TopicPartition]) -> None:
        """Undo the open work, then let go: another process may own the partitions."""
        partitions = list(partitions)
        self._committer.abort()
        self._rewind(WorkLostError("partitions_lost"))
        self._let_go(partitions)
        self._log("warning", "partitions_lost", partitions=[*map(str, partitions)])

    def _room(self) -> int:
        if self._search.limit is None:
            return self._batch_records
        return max(1, min(self._batch_records, self._search.limit - self.positions.in_flight()))

    def _wait(self) -> float:
        if not self._uncommitted:
            return IDLE_WAIT
        due = self._committed_at + self._interval.seconds
        return min(IDLE_WAIT, max(0.0, due - time.monotonic()))

    def _handle(self, fetched: Fetched) -> None:
        # All runs are noted as handed out before any is sent: if sending fails, all are rewound.
        admitted = [fresh for run in fetched.runs if (fresh := self._admit(run)) is not None]
        ctx: Context[Any] = Context(int(self._clock()), self._app_settings)
        for run in admitted:
            plan = self._planner.plan(run, ctx, self._search.verdicts(run))
            self._count(run, plan)
            for batch in plan.outgoing:
                self._committer.send(batch)

    def _admit(self, run: Records) -> Records | None:
        if run.source not in self.positions or run.source in self._seeks:
            return None  # fetched before a rebalance or a rewind; it will come again
        fresh = self.positions.admit(run)
        self.outcomes.consumed += len(run)
        if repeated := len(run) - len(fresh):
            self.outcomes.counted[DUPLICATE] += repeated
        if not fresh:
            return None
        self.positions.advance(fresh)
        self._uncommitted = True
        return fresh

    def _count(self, run: Records, plan: Plan) -> None:
        pending = self.outcomes.pending
        pending[PROCESSED] += plan.processed
        for reason, count in plan.filtered.items():
            pending["filtered", reason] += count
        for kind, count in plan.dead_lettered.items():
            pending["dead_lettered", kind] += count
        self._causes.extend((run.source, offset, cause) for offset, cause in plan.causes)

    def _note_ends(self) -> None:
        """Move over transaction markers at the end of partitions, so that lag reaches 0."""
        ends = {at: offset for at, offset in self._ends.items() if at not in self._seeks}
        try:
            if unknown := self.positions.unknown(ends):
                self.positions.know_committed(self._source.committed(unknown))
        except RetriableFailure as failure:
            self._health.wait(failure.code)
            return
        for partition, offset in ends.items():
            self.positions.reach_end(partition, offset)
        self._ends.clear()
        self._uncommitted = True

    def _commit_due(self) -> bool:
        if not self._uncommitted:
            return False
        if self._search.limit is not None and self.positions.in_flight() >= self._search.limit:
            return True
        return time.monotonic() - self._committed_at >= self._interval.seconds

    def _commit_or_rewind(self) -> None:
        offsets = self.positions.uncommitted()
        self._uncommitted = False
        if not offsets:
            return
        began = time.monotonic()
        try:
            self._committer.commit(offsets)
        except WorkLostError as lost:
            self._rewind(lost)
            return
        self._committed_at = time.monotonic()
        self.positions.note_commit(offsets)
        self.outcomes.commit()
        self._search.committed(offsets)
        self._losses = 0
        self._interval.observe(
            self._committed_at - began, behind=self._full_fetches * 2 > self._fetches
        )
        self._fetches = self._full_fetches = 0
        self._health.flows()
        self._tell_causes()

    def _rewind(self, lost: WorkLostError) -> None:
        """Undo the work since the last commit, here; the committer has undone it on the broker."""
        stretch = self.positions.touched()
        targets, records = self.positions.rewind()
        self.outcomes.abandon(records, lost.code)
        self._causes.clear()
        if lost.ask_broker:
            self._ask_committed(targets)
        self._seeks.update(targets)
        self._uncommitted = False
        self._log("warning", "work_undone", cause=lost.code, records=records)
        if lost.refused:
            self._search.refused(lost.code, stretch, records)
        self._losses += 1
        if self._losses > 1 and self._search.limit is None:
            self._pause(min(LONGEST_PAUSE, 0.05 * 2**self._losses))

    def _ask_committed(self, targets: dict[TopicPartition, int]) -> None:
        """Correct the targets: the transaction may have been committed after all."""
        while True:
            try:
                committed = self._source.committed(self.positions.snapshot())
            except RetriableFailure as failure:
                self._health.wait(failure.code)
            else:
                break
        self.positions.rewind_to(committed)
        targets.update({at: offset for at, offset in committed.items() if offset is not None})

    def _seek(self) -> None:
        for partition, offset in list(self._seeks.items()):
            if self._source.seek(partition, offset):
                del self._seeks[partition]

    def _let_go(self, partitions: list[TopicPartition]) -> None:
        self.outcomes.abandon(self.positions.drop(partitions), "revoked")
        self._search.dropped(partitions)
        self._without_offset.difference_update(partitions)
        for partition in partitions:
            self._seeks.pop(partition, None)
            self._ends.pop(partition, None)

    def _find_start(self) -> None:
        """Start partitions that have no valid offset, or refuse to jump over lost records."""
        asked = [at for at in self._without_offset if at in self.positions]
        try:
            for partition, committed in self._source.committed(asked).items():
                if committed is not None:
                    first, behind = self._source.available(partition)
                    raise OffsetError(_out_of_range(partition, committed, first, behind))
                offset = self._source.start_at(partition, self._start)
                if offset is not None:
                    self.positions.start(partition, offset)
                    self._uncommitted = True
                self._without_offset.discard(partition)
                self._log(
                    "info",
                    "partition_started",
                    partition=str(partition),
                    start=self._start,
                    offset=offset,
                )
        except RetriableFailure as failure:
            self._health.wait(failure.code)
        else:
            self._without_offset.clear()

    def _tell_causes(self) -> None:
        """Log dead letters: one line for each kind of cause, with the first as an example."""
        kinds = Counter((cause.kind, cause.error) for _, _, cause in self._causes)
        for source, offset, cause in self._causes:
            if count := kinds.pop((cause.kind, cause.error), 0):
                self._log(
                    "error" if cause.kind == "bug" else "warning",
                    "records_dead_lettered",
                    kind=cause.kind,
                    error=cause.error,
                    field=cause.field,
                    frames=list(cause.frames) or None,
                    records=count,
                    first=f"{source}/{offset}",
                )
        self._causes.clear()

    def _summarise(self) -> None:
        now = time.monotonic()
        if now - self._summed_at < SUMMARY_EVERY:
            return
        self._summed_at = now
        counted = self.outcomes
        self._log(
            "info",
            "progress",
            consumed=counted.consumed,
            in_flight=self.positions.in_flight(),
            **{
                name: counted.total(name)
                for name in ("processed", "filtered", "dead_lettered", "duplicate", "abandoned")
            },
        )


def _out_of_range(partition: TopicPartition, committed: int, first: int, behind: int) -> str:
    lost = first - committed
    what = (
        f"{lost} records were deleted before they were processed"
        if lost > 0
        else "the topic was made anew, or its end was lost"
    )
    return (
        f"{partition}: committed offset {committed} does not exist any more, the broker holds "
        f"{first} to {behind - 1}: {what}. To go on at {first} and accept the loss, stop all "
        "processors and run: kafka-consumer-groups.sh --bootstrap-server … --group … "
        f"--topic {partition.topic}:{partition.partition} --reset-offsets "
        f"--to-offset {first} --execute"
    )
