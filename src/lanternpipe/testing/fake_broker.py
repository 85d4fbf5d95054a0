"""A broker in memory: deterministic, with faults where a test plans them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from lanternpipe.records import Headers, Outgoing, Records, TopicPartition

T = TypeVar("T")


class Stored(NamedTuple):
    """A record in an input partition."""

    value: bytes | None
    key: bytes | None = None
    timestamp: int = 0
    headers: Headers | None = None


class Written(NamedTuple):
    """A record that a committed reader sees."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers | None = None


class Fault(NamedTuple):
    """What a call raises, and whether it was carried out all the same."""

    error: BaseException
    applied: bool = False


@dataclass
class FakeBroker:
    """Input partitions, one group and what was written.

    Attributes:
        logs: Records by offset; None is a transaction marker.
        first: The first offset that still exists, where it is not 0.
        group: Committed offsets.
        generation: Of the group; commits with another one are refused.
        written: Outputs of committed transactions, in order.
        refuses: Tells which records it takes from nobody.
        now: Milliseconds since 1970, for records that have no time of their own.
        on_store: Told of what becomes visible together, before it does.
        calls: Names of all calls, in order.
        begun: How many transactions were begun.
    """

    logs: dict[TopicPartition, list[Stored | None]]
    first: dict[TopicPartition, int] = field(default_factory=dict)
    group: dict[TopicPartition, int] = field(default_factory=dict)
    generation: int = 1
    written: list[Written] = field(default_factory=list)
    refuses: Callable[[Written], bool] = lambda _: False
    now: Callable[[], int] = lambda: 0
    on_store: Callable[[Sequence[Written], Mapping[TopicPartition, int]], None] = lambda *_: None
    calls: list[str] = field(default_factory=list)
    begun: int = 0
    _faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))

    @classmethod
    def with_partitions(cls, count: int, topic: str = "in") -> FakeBroker:
        """Return a broker with empty input partitions."""
        return cls({TopicPartition(topic, number): [] for number in range(count)})

    @property
    def planned(self) -> list[tuple[str, Fault]]:
        """The faults that have not happened yet, each with its call."""
        return [(call, fault) for call, faults in self._faults.items() for fault in faults]

    def fail(self, call: str, error: BaseException, *, applied: bool = False) -> None:
        """Plan a fault for the next call of that name which has none."""
        self._faults[call].append(Fault(error, applied))

    def forgive(self) -> None:
        """Forget all planned faults."""
        self._faults.clear()

    def through(self, call: str, act: Callable[[], T]) -> T:
        """Carry out a call, or the fault that is planned for it."""
        self.calls.append(call)
        if not self._faults[call]:
            return act()
        error, applied = self._faults[call].popleft()
        if applied:
            act()
        raise error

    def store(self, outputs: Iterable[Written], offsets: Mapping[TopicPartition, int]) -> None:
        """Make outputs visible and offsets committed, at once."""
        outputs = [each._replace(timestamp=each.timestamp or self.now()) for each in outputs]
        self.on_store(outputs, offsets)
        self.written.extend(outputs)
        self.group.update(offsets)


def flatten(batch: Outgoing) -> list[Written]:
    """Return the records of a batch."""
    headers = batch.headers or [None] * len(batch)
    columns = (batch.keys, batch.values, batch.timestamps, headers)
    return [Written(batch.topic, *each) for each in zip(*columns, strict=True)]


def run_of(source: TopicPartition, found: Sequence[tuple[int, Stored]]) -> Records:
    """Return records, given with their offsets, as the columns of a run."""
    values, keys, timestamps, headers = zip(*(stored for _, stored in found), strict=True)
    return Records(
        source,
        [offset for offset, _ in found],
        [*keys],
        [*values],
        [*timestamps],
        [*headers] if any(headers) else None,
    )


def serve(callbacks: deque[Callable[[], None]]) -> None:
    """Call each once."""
    while callbacks:
        callbacks.popleft()()
