"""The dead letters of a pipeline and their marks, as a committed reader without a group."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from lanternpipe.letter import Letter, letters_of
from lanternpipe.ops.journey import moment
from lanternpipe.ops.marks import Marks
from lanternpipe.records import Records, TopicPartition


class Search(Protocol):
    """What is asked of Kafka; see ``lanternpipe.kafka.search``."""

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic."""

    def first(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that exists of each partition."""

    def last_stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where a committed reader ends, for each partition."""

    def at_time(
        self, partitions: Iterable[TopicPartition], milliseconds: int
    ) -> dict[TopicPartition, int]:
        """Return the first offset at or after a time; the end where there is none."""

    def read(self, stretches: Mapping[TopicPartition, range]) -> Generator[Records, None, None]:
        """Read stretches of partitions."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which letters are meant.

    Attributes:
        reasons: Only these; none given means any.
        key: Only letters with this key.
        since: Only letters written at or after this time, in milliseconds since 1970.
        until: Only letters written before this time.
    """

    reasons: frozenset[str] = frozenset()
    key: bytes | None = None
    since: int | None = None
    until: int | None = None

    def admits(self, letter: Letter) -> bool:
        """Tell whether a letter is meant."""
        return (
            (self.key is None or letter.key == self.key)
            and (self.since is None or letter.timestamp >= self.since)
            and (self.until is None or letter.timestamp < self.until)
            and (not self.reasons or letter.reason in self.reasons)
        )

    def __str__(self) -> str:
        told = [f"reason={reason}" for reason in sorted(self.reasons)]
        if self.key is not None:
            told.append("key=(given)")  # it is personal data
        for name, at in (("since", self.since), ("until", self.until)):
            if at is not None:
                told.append(f"{name}={moment(at)}")
        return " ".join(told) or "all"


class Mailbox:
    """Reads dead letters and marks.

    Args:
        search: Asked for records and offsets.
        letters: The topic of the dead letters.
        marks: The topic of their marks.

    Attributes:
        topic: The topic of the dead letters.
    """

    def __init__(self, search: Search, letters: str, marks: str) -> None:
        self.topic = letters
        self._search = search
        self._marks = marks

    def check(self) -> None:
        """Fail where a topic does not exist or no broker answers.

        Raises:
            TopicError: A topic does not exist.
            KafkaFailure: The broker did not answer.
        """
        for topic in (self.topic, self._marks):
            self._search.partitions(topic)

    def marks(self) -> Marks:
        """Return all marks that are committed by now."""
        partitions = self._search.partitions(self._marks)
        with closing(self._search.read(self._stretches(partitions))) as runs:
            return Marks().read(runs)

    def letters(self, filters: Filters) -> Generator[Letter, None, None]:
        """Yield the letters that are meant, up to the ends at the time of the call's first step.

        Those of one partition come in their order.
        """
        partitions = self._search.partitions(self.topic)
        with closing(self._search.read(self._stretches(partitions, filters.since))) as runs:
            for run in runs:
                yield from filter(filters.admits, letters_of(run))

    def _stretches(
        self, partitions: list[TopicPartition], since: int | None = None
    ) -> dict[TopicPartition, range]:
        search = self._search
        starts = search.first(partitions) if since is None else search.at_time(partitions, since)
        ends = search.last_stable(partitions)
        return {at: range(starts[at], ends[at]) for at in partitions}
