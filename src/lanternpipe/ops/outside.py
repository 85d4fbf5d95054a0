"""A group seen from outside: what its processors cannot tell when they are gone or mistaken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lanternpipe.kafka.groups import Members
from lanternpipe.ops.lag import PartitionLag
from lanternpipe.telemetry import catalogue
from lanternpipe.telemetry.metrics import Sample


class Kept(NamedTuple):
    """How much a topic keeps of each partition; None for all.

    Attributes:
        seconds: By time.
        bytes: By size.
    """

    seconds: float | None
    bytes: int | None

    @classmethod
    def of(cls, config: Mapping[str, str]) -> Kept:
        """Read it from the settings of a topic."""
        milliseconds, most = int(config["retention.ms"]), int(config["retention.bytes"])
        if "delete" not in config["cleanup.policy"]:
            return cls(None, None)
        return cls(milliseconds / 1_000 if milliseconds >= 0 else None, most if most >= 0 else None)


class Look(NamedTuple):
    """All that the broker told at one moment.

    Attributes:
        lags: Of each partition.
        members: Who reads them.
        kept: How much is kept, by topic.
        at: Seconds since 1970.
    """

    lags: list[PartitionLag]
    members: Members
    kept: Mapping[str, Kept]
    at: float


def lost(lag: PartitionLag) -> int:
    """Return how many records were deleted before they were committed."""
    return 0 if lag.committed is None else max(0, lag.first - lag.committed)


def retention_used(lag: PartitionLag, kept: Kept) -> float | None:
    """Return how much of what is kept is not committed, 1 being all; None where unknown.

    By time: the age of the oldest record that is left. By size alone, which only deletes once a
    partition is full: the share of its offsets that is left, as soon as the first were deleted.
    Where time deletes, too, a partition without its first records may be far from full.
    """
    if not lag.records:
        return 1.0 if lost(lag) else 0.0
    shares = [1.0] if lost(lag) else []
    if kept.bytes is None and kept.seconds is None:
        shares.append(0.0)
    if kept.seconds is None and kept.bytes is not None:
        shares.append(lag.records / (lag.end - lag.first) if lag.first else 0.0)
    if kept.seconds is not None and lag.seconds is not None:
        shares.append(lag.seconds / kept.seconds if kept.seconds else 1.0)
    return max(shares, default=None)


def samples(group: str, look: Look) -> Iterator[Sample]:
    """Yield what was seen."""
    yield Sample(catalogue.GROUP_ANSWERED, look.at, (group,))
    yield Sample(catalogue.GROUP_MEMBERS, look.members.number, (group,))
    unread = dict.fromkeys((lag.partition.topic for lag in look.lags), 0)
    for lag in look.lags:
        unread[lag.partition.topic] += lag.partition not in look.members.partitions
        yield from _partition(group, lag, look.kept[lag.partition.topic])
    for topic, count in unread.items():
        yield Sample(catalogue.GROUP_UNASSIGNED, count, (group, topic))


def _partition(group: str, lag: PartitionLag, kept: Kept) -> Iterator[Sample]:
    told = {
        catalogue.GROUP_LAG_RECORDS: lag.records,
        catalogue.GROUP_LAG_SECONDS: lag.seconds,
        catalogue.GROUP_COMMITTED: lag.committed,
        catalogue.GROUP_END: lag.end,
        catalogue.GROUP_FIRST: lag.first,
        catalogue.GROUP_OPEN_TRANSACTION: max(0, lag.high - lag.end),
        catalogue.GROUP_LOST: lost(lag),
        catalogue.GROUP_RETENTION: retention_used(lag, kept),
    }
    labels = (group, lag.partition.topic, str(lag.partition.partition))
    for metric, number in told.items():
        if number is not None:
            yield Sample(metric, number, labels)
