"""``lanternpipe lag``: how far a group is behind, as the broker sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table

from lanternpipe.errors import TopicError
from lanternpipe.kafka.admin import (
    LogEnds,
    describe_partitions,
    group_offsets,
    open_admin,
    read_timestamps,
)
from lanternpipe.kafka.config import client_config
from lanternpipe.ports import Log
from lanternpipe.records import TopicPartition
from lanternpipe.settings import KafkaSettings

BAR = 12  # columns; all fits into 80


class PartitionLag(NamedTuple):
    """How far a group is behind on one partition.

    Attributes:
        partition: Which one.
        committed: The committed offset; None when there is none.
        first: The first offset that exists.
        end: The last stable offset.
        high: The high watermark.
        records: What is left; all that exists when nothing was committed.
        seconds: Age of the oldest record left; None when it could not be read.
    """

    partition: TopicPartition
    committed: int | None
    first: int
    end: int
    high: int
    records: int
    seconds: float | None


class LagReader:
    """Reads the lag of one group, again and again.

    Args:
        kafka: The connection and the group.
        topics: What the group reads.
        log: Writes log lines.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: Sequence[str],
        *,
        log: Log,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = client_config(kafka)
        self._group = kafka.group_id
        self._topics = topics
        self._log = log
        self._clock = clock
        self._admin = open_admin(self._config, log=log)
        self._ends = LogEnds(self._config, log=log)

    def read(self) -> list[PartitionLag]:
        """Return the lag of every partition.

        Raises:
            TopicError: A topic does not exist.
            KafkaFailure: The broker did not answer.
        """
        self._admin.poll(0)  # serves log lines and errors, which would pile up
        partitions = [at for topic in self._topics for at in self._partitions(topic)]
        committed = group_offsets(self._config, self._group, partitions, log=self._log)
        # In this order: what is appended in between is not taken for held back.
        highs, ends = self._ends.high(partitions), self._ends.last_stable(partitions)
        firsts = self._ends.first(partitions)
        starts = {
            at: max(firsts[at], offset if (offset := committed.get(at)) is not None else 0)
            for at in partitions
        }
        behind = {at: start for at, start in starts.items() if ends[at] > start}
        stamps = read_timestamps(self._config, behind, log=self._log)
        now = self._clock()
        return [
            PartitionLag(
                at,
                committed.get(at),
                firsts[at],
                ends[at],
                highs[at],
                max(0, ends[at] - starts[at]),
                _age(now, at in behind, stamps.get(at)),
            )
            for at in partitions
        ]

    def _partitions(self, topic: str) -> list[TopicPartition]:
        partitions = describe_partitions(self._admin, topic)
        if not partitions:
            raise TopicError(f"{topic} does not exist; create it with `lanternpipe topics apply`")
        return partitions


def _age(now: float, behind: bool, stamp: int | None) -> float | None:  # noqa: FBT001  # two lines
    if not behind:
        return 0.0
    return None if stamp is None else max(0.0, now - stamp / 1_000)


def as_json(group: str, lags: Iterable[PartitionLag]) -> dict[str, object]:
    """Return the lag for programs."""
    lags = list(lags)
    known = [lag.seconds for lag in lags if lag.seconds is not None]
    return {
        "group": group,
        "records": sum(lag.records for lag in lags),
        "seconds": round(max(known, default=0.0), 3),
        "partitions": [
            {
                "topic": lag.partition.topic,
                "partition": lag.partition.partition,
                "committed": lag.committed,
                "end": lag.end,
                "records": lag.records,
                "seconds": None if lag.seconds is None else round(lag.seconds, 3),
            }
            for lag in lags
        ],
    }


def as_table(group: str, lags: Iterable[PartitionLag]) -> RenderableType:
    """Return the lag for people."""
    lags = list(lags)
    table = Table(title=f"group {group}", title_justify="left")
    most = max((lag.records for lag in lags), default=0)
    for name in ("partition", "committed", "end", "behind", "seconds"):
        table.add_column(name, justify="left" if name == "partition" else "right", no_wrap=True)
    if most:
        table.add_column(no_wrap=True)
    for lag in lags:
        table.add_row(
            str(lag.partition),
            "-" if lag.committed is None else f"{lag.committed:,}",
            f"{lag.end:,}",
            f"{lag.records:,}",
            "?" if lag.seconds is None else f"{lag.seconds:,.1f}",
            *(["█" * round(BAR * lag.records / most)] if most else []),
        )
    total = sum(lag.records for lag in lags)
    return Group(table, f"{total:,} records behind")


def watch(read: Callable[[], list[PartitionLag]], every: float) -> Iterator[list[PartitionLag]]:
    """Yield the lag again and again, ``every`` so many seconds."""
    while True:
        yield read()
        time.sleep(every)
