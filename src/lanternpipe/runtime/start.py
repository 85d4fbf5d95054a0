"""Where a partition begins for which the client has no valid offset."""

from __future__ import annotations

from collections.abc import Container, Iterable

from lanternpipe.errors import OffsetError, RetriableFailure
from lanternpipe.ports import Log, Source
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.work import Work


class PartitionStart:
    """Starts partitions that were never committed, and refuses to jump over lost records.

    Args:
        source: Asked for offsets and told where to read.
        work: Told where a partition begins.
        start: ``earliest``, ``latest`` or a time.
        hops: Topics that are always read from their beginning: what is there was sent to us.
        group: The consumer group, for the message.
        health: Told of waits.
        log: Writes log lines.
    """

    def __init__(
        self,
        source: Source,
        work: Work,
        *,
        start: str,
        hops: Container[str],
        group: str,
        health: Health,
        log: Log,
    ) -> None:
        self._source = source
        self._work = work
        self._start = start
        self._hops = hops
        self._group = group
        self._health = health
        self._log = log
        self._waiting: set[TopicPartition] = set()

    def find(self, lost: Iterable[TopicPartition]) -> None:
        """Find a start for ``lost``, and for those for which the broker has not answered yet.

        Raises:
            OffsetError: There is a committed offset, but the broker no longer has it.
        """
        self._waiting.update(lost)
        self._waiting.intersection_update(self._work.positions.snapshot())
        if not self._waiting:
            return
        try:
            committed = self._source.committed(self._waiting)
            for partition, offset in committed.items():
                if offset is None:
                    self._begin(partition)
                else:
                    self._resume(partition, offset)
                self._waiting.discard(partition)
        except RetriableFailure as failure:
            self._health.wait(failure.code)

    def _begin(self, partition: TopicPartition) -> None:
        if self._work.forget(partition, "log_made_anew"):
            self._log("error", "log_made_anew", partition=str(partition))
        start = "earliest" if partition.topic in self._hops else self._start
        offset = self._source.start_at(partition, start)
        if offset is not None:
            self._work.start_partition(partition, offset)
        self._log("info", "partition_started", partition=str(partition), start=start, offset=offset)

    def _resume(self, partition: TopicPartition, committed: int) -> None:
        first, behind = self._source.available(partition)
        if not first <= committed <= behind:
            raise OffsetError(self._out_of_range(partition, committed, first, behind))
        # We stood elsewhere, behind an end that was lost: what is committed still exists.
        self._work.forget(partition, "log_cut")
        self._source.start_at(partition, committed)
        self._work.start_partition(partition, committed)

    def _out_of_range(
        self, partition: TopicPartition, committed: int, first: int, behind: int
    ) -> str:
        lost = first - committed
        what = (
            f"{lost} offsets were deleted before they were processed"
            if lost > 0
            else "the topic was made anew, or lost its end"
        )
        return (
            f"{partition}: the committed offset {committed} does not exist, the broker holds "
            f"{first} up to {behind - 1}: {what}. To accept that and go on at {first}, stop all "
            f"processors of the group and run: kafka-consumer-groups.sh --bootstrap-server "
            f"BROKER --group {self._group} --topic {partition.topic}:{partition.partition} "
            f"--reset-offsets --to-offset {first} --execute"
        )
