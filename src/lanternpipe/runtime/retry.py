"""When a record is tried again, and when it is given up. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lanternpipe.pipeline import Skip
from lanternpipe.records import Records, TopicPartition

# So that processes which failed together do not come back together.
LEAST_JITTER = 0.5
HARDLY_ANY = 0.1  # of the records of a run


class Held(NamedTuple):
    """The first record of a run that is to be tried again; what is behind it waits with it.

    Attributes:
        place: Its place in the run.
        reason: Why it is to be tried again.
        wait: Seconds until then.
    """

    place: int
    reason: str
    wait: float


@dataclass(slots=True)
class _Record:
    """The record that a partition waits for."""

    offset: int
    attempts: int = 0
    counted: int = 0


class Attempts:
    """How often the record was tried that each partition waits for.

    Waiting has no end while a dependency is down, for then every record would fail. Attempts
    count towards the limit only where the record fails and others do not.

    Args:
        first: Seconds before the second attempt; they double from then on.
        longest: Most seconds between two attempts.
        most: Attempts after which a record is given up; 0 means never.
        random: Returns a number from 0 up to 1.
    """

    def __init__(
        self, *, first: float, longest: float, most: int, random: Callable[[], float]
    ) -> None:
        self._first = first
        self._longest = longest
        self._most = most
        self._random = random
        self._records: dict[TopicPartition, _Record] = {}

    def failed(self, at: TopicPartition, offset: int, *, alone: bool) -> float | None:
        """Learn of a failed attempt; return how long to wait, or None to give up.

        Args:
            at: The record's partition.
            offset: The record.
            alone: Whether the record is at fault, as far as can be seen.
        """
        record = self._records.get(at)
        if record is None or record.offset != offset:
            record = self._records[at] = _Record(offset)
        record.attempts += 1
        record.counted += alone
        if self._most and record.counted >= self._most:
            return None
        doublings = min(record.attempts - 1, 30)
        wait: float = min(self._longest, self._first * 2.0**doublings)
        return wait * (LEAST_JITTER + (1 - LEAST_JITTER) * self._random())

    def made(self, at: TopicPartition, offset: int) -> int:
        """Return how often a record was tried, the attempt that is under way included."""
        record = self._records.get(at)
        return record.attempts if record is not None and record.offset == offset else 1


def is_alone(
    records: Records, results: Sequence[Any], again: Mapping[int, str], place: int
) -> bool:
    """Tell whether a record asks for another attempt for a reason of its own.

    So it is where others of the run went through, and hardly anybody of another key asks for the
    same reason: otherwise what it needs is down, and others have merely not needed it.
    """
    if not any(result is not None and type(result) is not Skip for result in results):
        return False
    same = [at for at, reason in again.items() if reason == again[place]]
    keys = {records.keys[at] for at in same}
    return (len(keys) == 1 and None not in keys) or len(same) <= HARDLY_ANY * len(results)
