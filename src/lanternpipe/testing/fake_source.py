"""The consumer of ``FakeBroker``: what the runtime takes for a client that reads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from lanternpipe.errors import AbortableFailure
from lanternpipe.ports import AssignmentListener
from lanternpipe.records import Fetched, Records, TopicPartition
from lanternpipe.testing.fake_broker import FakeBroker, Stored, run_of, serve


class FakeSource:
    """A member of the group; what happens to its assignment is planned by the test.

    Attributes:
        assigned: Where it reads next in each of its partitions; None where it has no offset.
        before: Rebalance callbacks to serve in the next fetch, before records are taken.
        after: Likewise, after records have been taken.
        busy: How many seeks to refuse, as during a rebalance.
        on_rebuild: Called when it is replaced.
        deaf: What it has stopped to fetch, as a client does that has a bug.
        paused: What it hands out nothing of.
        quiet: How many fetches bring nothing, as when the broker is slow to answer.
        run_length: Most records of one partition in a row.
        listener: Who is told of the assignment.
    """

    listener: AssignmentListener

    def __init__(self, broker: FakeBroker) -> None:
        self.assigned: dict[TopicPartition, int | None] = {}
        self.before: deque[Callable[[], None]] = deque()
        self.after: deque[Callable[[], None]] = deque()
        self.busy = self.quiet = 0
        self.paused: set[TopicPartition] = set()
        self.deaf: set[TopicPartition] = set()
        self.on_rebuild: Callable[[], object] = lambda: None
        self.run_length = 3
        self.closed = False
        self._broker = broker
        self._generation = broker.generation
        self._told_ends: dict[TopicPartition, int] = {}

    def subscribe(self, listener: AssignmentListener) -> None:
        """Join the group."""
        self.listener = listener

    def assign(self, *partitions: TopicPartition) -> None:
        """Be given partitions."""
        self._broker.generation += 1
        self._generation = self._broker.generation
        for partition in partitions:
            self.assigned[partition] = self._broker.group.get(partition)
            self._told_ends.pop(partition, None)
        self.listener.on_assigned(partitions)

    def revoke(self, *partitions: TopicPartition) -> None:
        """Give partitions up; they are still ours within the callback."""
        self.listener.on_revoked(partitions)
        for partition in partitions:
            del self.assigned[partition]
        self._broker.generation += 1
        self._generation = self._broker.generation

    def be_told_of_loss(self) -> None:
        """Learn that everything was lost; others may have had it since ``lose``."""
        partitions = list(self.assigned)
        self.assigned.clear()
        self.listener.on_lost(partitions)

    def fetch(self, max_records: int, timeout: float) -> Fetched:
        """Return records of all partitions in turn."""
        assert max_records > 0
        self._broker.through("fetch", lambda: None)
        serve(self.before)
        if self.quiet:
            self.quiet -= 1
            serve(self.after)
            return Fetched()
        runs, left = [], max_records
        while left and (some := self._take(left)):
            runs += some
            left -= sum(map(len, some))
        lost = [at for at, offset in self.assigned.items() if not self._exists(at, offset)]
        ends = []
        for at, offset in self.assigned.items():
            end = len(self._broker.logs[at])
            if at in self.paused or at in self.deaf:
                continue
            if offset == end and self._told_ends.get(at) != end:
                self._told_ends[at] = end
                ends.append((at, end))
        serve(self.after)
        return Fetched(runs, ends, lost, left == 0)

    def seek(self, partition: TopicPartition, offset: int) -> bool:
        """Go on reading elsewhere, unless busy."""
        assert partition in self.assigned, f"seek in {partition}, which is not ours"
        if self.busy:
            self.busy -= 1
            return False
        self.assigned[partition] = offset
        self._told_ends.pop(partition, None)
        return True

    def pause(self, partitions: Iterable[TopicPartition]) -> bool:
        """Hand out nothing of partitions, unless busy; it sticks when they go and come back."""
        return self._switch(self.paused.update, partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> bool:
        """Hand out records again, unless busy."""
        return self._switch(self.paused.difference_update, partitions)

    def start_at(self, partition: TopicPartition, start: str | int) -> int | None:
        """Begin reading; the offset of ``earliest`` is not known before the first record."""

        def begin() -> int | None:
            first, end = self.available(partition)
            offset = start if isinstance(start, int) else {"earliest": first, "latest": end}[start]
            self.assigned[partition] = offset
            self._told_ends.pop(partition, None)
            return None if start == "earliest" else offset

        return self._broker.through("start_at", begin)

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Return the group's offsets, in an order that hashes have no part in."""
        group = self._broker.group
        return self._broker.through(
            "committed", lambda: {at: group.get(at) for at in sorted(partitions)}
        )

    def available(self, partition: TopicPartition) -> tuple[int, int]:
        """Return which offsets exist."""
        return self._broker.first.get(partition, 0), len(self._broker.logs[partition])

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets; refused when the group has moved on."""

        def act() -> None:
            if self._generation != self._broker.generation:
                raise AbortableFailure("ILLEGAL_GENERATION", "committing offsets")
            self._broker.store((), offsets)

        self._broker.through("commit_offsets", act)

    def group_metadata(self) -> object:
        """Return the generation that this member knows."""
        return self._generation

    def rebuild(self) -> None:
        """Start afresh, without partitions; what was planned still happens."""

        def act() -> None:
            self.on_rebuild()
            self.assigned.clear()
            self.paused.clear()
            self.deaf.clear()

        self._broker.through("rebuild_source", act)

    def close(self) -> None:
        """Leave the group, which gives up all partitions."""
        self.revoke(*self.assigned)
        self.closed = True

    def _switch(
        self,
        act: Callable[[Iterable[TopicPartition]], None],
        partitions: Iterable[TopicPartition],
    ) -> bool:
        partitions = set(partitions)
        assert partitions <= self.assigned.keys(), "pausing what is not ours"
        if self.busy:
            self.busy -= 1
            return False
        act(partitions)
        return True

    def _exists(self, partition: TopicPartition, offset: int | None) -> bool:
        first, end = self.available(partition)
        return offset is not None and first <= offset <= end

    def _take(self, most: int) -> list[Records]:
        """Take one short run from each partition."""
        runs = []
        for at, start in self.assigned.items():
            silent = at in self.paused or at in self.deaf
            if start is None or silent or not self._exists(at, start):
                continue
            log, offset, found = self._broker.logs[at], start, list[tuple[int, Stored]]()
            while offset < len(log) and len(found) < min(self.run_length, most):
                if (stored := log[offset]) is not None:
                    found.append((offset, stored))
                offset += 1
            self.assigned[at] = offset
            if found:
                runs.append(run_of(at, found))
                most -= len(found)
        return runs
