"""Where each partition stands: our own record of what was handed out, finished and committed.

``consumer.position()`` is no substitute: it is empty after a loss of partitions and undefined
after a seek, and committing either of these loses or repeats records. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from lanternpipe.records import Records, TopicPartition


@dataclass(slots=True)
class Position:
    """One assigned partition.

    Attributes:
        next: Offset of the next record to be handed out; None until the first is seen.
        resume: Where to read again when the work since the last commit is thrown away.
        committed: The offset committed last, as far as known.
        oldest_ms: Timestamp of the oldest record not yet committed; 0 when there is none.
        newest_ms: Timestamp of the newest record handed out; 0 when there was none.
        in_flight: Records handed out since the last commit.
    """

    next: int | None = None
    resume: int | None = None
    committed: int | None = None
    oldest_ms: int = 0
    newest_ms: int = 0
    in_flight: int = 0


class Positions:
    """The positions of all assigned partitions."""

    def __init__(self) -> None:
        self._by_partition: dict[TopicPartition, Position] = {}

    def __contains__(self, partition: TopicPartition) -> bool:
        return partition in self._by_partition

    def snapshot(self) -> dict[TopicPartition, Position]:
        """Return the positions; safe to iterate from another thread."""
        return self._by_partition.copy()

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Start afresh with partitions that have just been given to us."""
        for partition in partitions:
            self._by_partition[partition] = Position()

    def drop(self, partitions: Iterable[TopicPartition]) -> int:
        """Forget partitions; return how many of their records were still in flight."""
        gone = [self._by_partition.pop(partition, Position()) for partition in partitions]
        return sum(position.in_flight for position in gone)

    def start(self, partition: TopicPartition, offset: int) -> None:
        """Note where reading was told to start; the first commit will pin it."""
        position = self._by_partition[partition]
        position.next = position.resume = offset

    def admit(self, records: Records) -> Records:
        """Return ``records`` without those below the position: the client gave them twice."""
        position = self._by_partition[records.source]
        offsets = records.offsets
        floor = offsets[0] if position.next is None else position.next
        if offsets[0] >= floor and _ascending(offsets):
            return records
        keep: list[bool] = []
        for offset in offsets:
            keep.append(offset >= floor)
            floor = max(floor, offset + 1)
        return records.select(keep)

    def advance(self, records: Records) -> None:
        """Note that all of ``records`` have been handed out."""
        position = self._by_partition[records.source]
        if position.resume is None:
            position.resume = records.offsets[0]
        if not position.in_flight:
            position.oldest_ms = records.timestamps[0]
        position.newest_ms = records.timestamps[-1]
        position.next = records.offsets[-1] + 1
        position.in_flight += len(records)

    def retreat(
        self, partition: TopicPartition, offset: int | None, records: int, stamp: int
    ) -> None:
        """Note that records which were handed out are not to be worked on now.

        Args:
            partition: Where.
            offset: The first of them; None where the partition stands before them already.
            records: How many.
            stamp: Timestamp of the first.
        """
        position = self._by_partition[partition]
        position.in_flight -= records
        if offset is not None:
            position.next, position.newest_ms = offset, stamp
        if not position.in_flight:
            position.oldest_ms = 0

    def unknown(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Return those of ``partitions`` of which nothing has been seen so far."""
        known = self._by_partition
        return [at for at in partitions if at in known and known[at].next is None]

    def know_committed(self, offsets: Mapping[TopicPartition, int | None]) -> None:
        """Take over the group's committed offsets for partitions of which nothing was seen."""
        for partition, offset in offsets.items():
            position = self._by_partition.get(partition)
            if position is not None and position.next is None:
                position.next = position.resume = position.committed = offset

    def reach_end(self, partition: TopicPartition, offset: int) -> None:
        """Note that the end of a partition was reached, behind transaction markers."""
        position = self._by_partition.get(partition)
        if position is not None and (position.next is None or position.next < offset):
            position.next = offset
            if position.resume is None:
                position.resume = offset

    def uncommitted(self) -> dict[TopicPartition, int]:
        """Return the offsets that a commit would have to note."""
        return {
            partition: position.next
            for partition, position in self._by_partition.items()
            if position.next is not None and position.next != position.committed
        }

    def in_flight(self) -> int:
        """Return how many records have been handed out since the last commit."""
        return sum(position.in_flight for position in self.snapshot().values())

    def note_commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Note that ``offsets`` have been committed."""
        for partition, offset in offsets.items():
            position = self._by_partition.get(partition)
            if position is not None:
                position.resume = position.committed = offset
                position.in_flight = position.oldest_ms = 0

    def touched(self) -> dict[TopicPartition, tuple[int, int]]:
        """Return, for each partition with open work, its first offset and the one behind it."""
        return {
            partition: (position.resume, position.next)
            for partition, position in self._by_partition.items()
            if position.resume is not None
            and position.next is not None
            and position.next != position.resume
        }

    def rewind(self) -> tuple[dict[TopicPartition, int], int]:
        """Forget the work since the last commit.

        Returns where each touched partition must be read again, and how many records that is.
        """
        targets = {partition: first for partition, (first, _) in self.touched().items()}
        abandoned = self.in_flight()
        for partition, position in self._by_partition.items():
            if partition in targets:
                position.next = position.resume
                # Where only an end was reached, no record was handed out.
                position.newest_ms = position.oldest_ms or position.newest_ms
            position.in_flight = position.oldest_ms = 0
        return targets, abandoned

    def resume_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Stand where the broker says that the group stands."""
        for partition, offset in offsets.items():
            position = self._by_partition.get(partition)
            if position is not None:
                position.next = position.resume = position.committed = offset


def _ascending(offsets: list[int]) -> bool:
    """Tell whether offsets strictly ascend; without gaps one comparison at C speed tells."""
    if offsets == list(range(offsets[0], offsets[0] + len(offsets))):
        return True
    return all(one < other for one, other in pairwise(offsets))
