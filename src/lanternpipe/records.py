"""Records as the runtime and the Kafka package exchange them: as columns, never one by one.

A Python object per record costs more than all of the work done on it, so a batch is a handful
of parallel lists. Index ``i`` of every column belongs to the same record.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, compress
from typing import NamedTuple, TypeAlias

# As many digits as a partition, and an offset, can have.
_PLACE = re.compile(r"([^/]+)/([0-9]{1,9})/([0-9]{1,18})")

Headers: TypeAlias = list[tuple[str, bytes | None]]
# The header by which a trace crosses Kafka (W3C Trace Context).
TRACEPARENT = "traceparent"


def wire_bytes(headers: Headers) -> int:
    """Return what headers take in a record: each is more than its content, be that nothing."""
    return sum(
        _with_length(len(name.encode())) + _with_length(len(content or b""))
        for name, content in headers
    )


def _with_length(size: int) -> int:
    """Return what bytes take behind their length: a varint with one bit for the sign."""
    return size + size.bit_length() // 7 + 1


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


class Place(NamedTuple):
    """Where one record is."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def source(self) -> TopicPartition:
        """The partition that it is in."""
        return TopicPartition(self.topic, self.partition)

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read ``topic/partition/offset``.

        Raises:
            ValueError: It is nothing of the kind.
        """
        match = _PLACE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not TOPIC/PARTITION/OFFSET")
        return cls(match[1], int(match[2]), int(match[3]))


@dataclass(frozen=True, slots=True)
class Records:
    """A run of records from one partition, in offset order; or several such runs as one.

    Attributes:
        source: Where they came from; of several runs, where the first did.
        offsets: Ascending; gaps are normal (transaction markers, compaction).
        keys: Key bytes or None.
        values: Value bytes, None for a tombstone.
        timestamps: Milliseconds since 1970 as stored by Kafka; 0 where there is none.
        headers: One entry per record, or None when no record of the run has any.
        unreadable: Offsets of records whose headers the client cannot read.
        carried: By offset, what former hops said of records in retry and replay topics.
        sources: Of several runs, where each record came from; else empty.
    """

    source: TopicPartition
    offsets: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps: list[int]
    headers: list[Headers | None] | None = None
    unreadable: frozenset[int] = frozenset()
    carried: Mapping[int, Mapping[str, bytes]] = field(default_factory=dict)
    sources: Sequence[TopicPartition] = ()

    def __len__(self) -> int:
        return len(self.offsets)

    def at(self, place: int) -> Place:
        """Return where one record is."""
        source = self.sources[place] if self.sources else self.source
        return Place(*source, self.offsets[place])

    @classmethod
    def joined(cls, runs: Sequence[Records]) -> Records:
        """Return several runs as one; none of their records is unreadable or has hopped."""
        headers: list[Headers | None] | None = None
        if any(run.headers is not None for run in runs):
            headers = [each for run in runs for each in run.headers or [None] * len(run)]
        return cls(
            runs[0].source,
            list(chain.from_iterable(run.offsets for run in runs)),
            list(chain.from_iterable(run.keys for run in runs)),
            list(chain.from_iterable(run.values for run in runs)),
            list(chain.from_iterable(run.timestamps for run in runs)),
            headers,
            sources=[source for run in runs for source in [run.source] * len(run)],
        )

    def select(self, keep: Sequence[bool]) -> Records:
        """Return the records whose place in ``keep`` is true."""
        return Records(
            self.source,
            list(compress(self.offsets, keep)),
            list(compress(self.keys, keep)),
            list(compress(self.values, keep)),
            list(compress(self.timestamps, keep)),
            None if self.headers is None else list(compress(self.headers, keep)),
            self.unreadable,
            self.carried,
        )

    def head(self, count: int) -> Records:
        """Return the first ``count`` records."""
        return self.select([place < count for place in range(len(self))])

    def tail(self, count: int) -> Records:
        """Return the records behind the first ``count``."""
        return self.select([place >= count for place in range(len(self))])


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Records to be written to one topic, in order.

    Attributes:
        topic: Where they go.
        keys: Key bytes or None; the partition follows from the key.
        values: Value bytes or None.
        timestamps: Milliseconds since 1970; 0 means "now".
        headers: One entry per record, or None when no record has any.
    """

    topic: str
    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps: list[int]
    headers: list[Headers | None] | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch brought.

    Attributes:
        runs: Records, in the order in which they were handed out.
        ends: Partitions whose end was reached, with the offset of that end. It lies behind
            transaction markers, which no record shows.
        lost: Partitions at which the client has no valid offset to read from.
        full: Whether as many records came as were asked for: the loop is behind.
    """

    runs: Sequence[Records] = ()
    ends: Iterable[tuple[TopicPartition, int]] = ()
    lost: Sequence[TopicPartition] = ()
    full: bool = False

    def without(self, partitions: Container[TopicPartition]) -> Fetched:
        """Return the same without what came from some partitions."""
        return replace(
            self,
            runs=[run for run in self.runs if run.source not in partitions],
            ends=[each for each in self.ends if each[0] not in partitions],
        )


class Backlog(NamedTuple):
    """What a topic holds.

    Attributes:
        records: How many offsets, which a few markers are among.
        oldest_ms: Timestamp of the oldest record in milliseconds; 0 where there is none.
    """

    records: int
    oldest_ms: int
