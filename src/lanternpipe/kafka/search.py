"""Finds single records in stretches of partitions, as a committed reader and without a group."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

from confluent_kafka import TopicPartition as ClientPartition

from lanternpipe.errors import RetriableFailure, TopicError
from lanternpipe.kafka.admin import REQUEST_SECONDS, describe_partitions, group_offsets
from lanternpipe.kafka.config import client_config, consumer_config, producer_config
from lanternpipe.kafka.consumer import RecordConsumer
from lanternpipe.kafka.errors import mapped
from lanternpipe.ports import Log
from lanternpipe.records import Records, TopicPartition
from lanternpipe.settings import KafkaSettings

SILENCE_SECONDS = 2 * REQUEST_SECONDS
FETCH_RECORDS = 5_000
LATEST_MS = 2**62  # what a broker still takes for a time
# Partitioners by which a key's partition follows from the key alone, as computed here.
OURS = frozenset({"murmur2", "murmur2_random"})


class RecordSearch(RecordConsumer):
    """Reads stretches of partitions; joins no group and commits nothing.

    Args:
        kafka: The connection, and the group whose offsets are asked for.
        log: Writes log lines.
    """

    def __init__(self, kafka: KafkaSettings, *, log: Log) -> None:
        self._kafka = kafka
        # The client demands a group name even from those who join none.
        config = consumer_config(
            kafka.model_copy(update={"group_id": f"{kafka.group_id}-reader"}), instance=None
        )
        config["isolation.level"] = "read_committed"
        super().__init__(config, [], log=log, waiting=lambda _: None)

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic.

        Raises:
            TopicError: The topic does not exist.
            KafkaFailure: The broker did not answer.
        """
        found = describe_partitions(self._consumer, topic)
        if not found:
            raise TopicError(f"{topic} does not exist; create it with `lanternpipe topics apply`")
        return found

    def home(self, topic: str, key: bytes | None) -> list[TopicPartition]:
        """Return the partitions in which our producer may have put a key: one where it has one."""
        partitions = self.partitions(topic)
        # Java and librdkafka differ in what they do with an empty key.
        if not key or producer_config(self._kafka)["partitioner"] not in OURS:
            return partitions
        return [partitions[partition_of(key, len(partitions))]]

    def group_offset(self, partition: TopicPartition) -> int | None:
        """Return what the group has committed; None where it has committed nothing."""
        found = group_offsets(
            client_config(self._kafka), self._kafka.group_id, [partition], log=self._log
        )
        return found[partition]

    def first(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that exists of each partition."""
        return self._ends.first(partitions)

    def last_stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where a committed reader ends, for each partition."""
        return self._ends.last_stable(partitions)

    def at_time(
        self, partitions: Iterable[TopicPartition], milliseconds: int
    ) -> dict[TopicPartition, int]:
        """Return the first offset at or after a time; the end where there is none."""
        return self._ends.at_time(partitions, max(0, min(milliseconds, LATEST_MS)))

    def find(
        self,
        stretches: Mapping[TopicPartition, range],
        wanted: Callable[[Records], Sequence[bool]],
    ) -> list[Records]:
        """Read stretches of partitions and return the records that are wanted.

        Args:
            stretches: As ``read`` takes them.
            wanted: Says of each record of a run whether it is.

        Raises:
            RetriableFailure: Nothing came for a while, or records were deleted meanwhile.
        """
        found = [run.select(wanted(run)) for run in self.read(stretches)]
        return [run for run in found if len(run)]

    def read(self, stretches: Mapping[TopicPartition, range]) -> Generator[Records, None, None]:
        """Read stretches of partitions, a run at a time; to be closed when left early.

        Args:
            stretches: Offsets to read, none behind the last stable offset: nobody would come.

        Raises:
            RetriableFailure: Nothing came for a while, or records were deleted meanwhile.
        """
        left = {at: stretch for at, stretch in stretches.items() if stretch}
        if not left:
            return
        with mapped("starting to read"):
            self._consumer.incremental_assign(
                [ClientPartition(*at, stretch.start) for at, stretch in left.items()]
            )
        heard = time.monotonic()
        try:
            while left:
                fetched = self.fetch(FETCH_RECORDS, 0.1)
                done = {at for at, end in fetched.ends if at in left and end >= left[at].stop}
                for run in fetched.runs:
                    if run.source not in left:
                        continue
                    stop = left[run.source].stop
                    if run.offsets[-1] >= stop - 1:
                        done.add(run.source)
                    yield run.select([offset < stop for offset in run.offsets])
                if gone := [at for at in fetched.lost if at in left]:
                    raise RetriableFailure(
                        "OFFSET_OUT_OF_RANGE", f"reading {gone[0]}: records were just deleted"
                    )
                self._let_go(done)
                for at in done:
                    del left[at]
                if fetched.runs or done:
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENCE_SECONDS:
                    text = f"reading {', '.join(map(str, left))}: no answer"
                    raise RetriableFailure("_TIMED_OUT", text, indefinite=True)
        finally:
            self._let_go(left)

    def _let_go(self, partitions: Iterable[TopicPartition]) -> None:
        with mapped("ending to read"):
            self._consumer.incremental_unassign([ClientPartition(*at) for at in partitions])


def partition_of(key: bytes, count: int) -> int:
    """Return the partition of a key among ``count``, as Java's default partitioner has it."""
    return (murmur2(key) & 0x7FFFFFFF) % count


def murmur2(data: bytes) -> int:
    """Return Kafka's 32-bit hash of a key, unsigned."""
    mixer, mask = 0x5BD1E995, 0xFFFFFFFF
    hashed = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * mixer & mask
        word = (word ^ word >> 24) * mixer & mask
        hashed = hashed * mixer & mask ^ word
    if rest := data[whole:]:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * mixer & mask
    hashed = (hashed ^ hashed >> 13) * mixer & mask
    return hashed ^ hashed >> 15
