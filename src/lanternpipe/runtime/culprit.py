"""Finds the one record whose output the broker refuses, by halving. Pure.

The broker refuses a whole batch and does not say which record is at fault. After two aborts at
the same position the stretch is run in ever smaller transactions, down to one record; what is
still refused then is condemned to the dead letters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lanternpipe.errors import FatalFailure
from lanternpipe.records import Records, TopicPartition

ABORTS_BEFORE_SEARCH = 2


class Condemned(NamedTuple):
    """A range of offsets that holds one record whose output the broker refuses."""

    first: int
    behind: int
    code: str


class CulpritSearch:
    """Decides how many records the next transaction may hold, and which are condemned.

    Attributes:
        limit: Most records in the next transaction; None while nothing is searched.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self._refusals: Counter[tuple[TopicPartition, int]] = Counter()
        self._until: dict[TopicPartition, int] = {}
        self._condemned: dict[TopicPartition, Condemned] = {}

    def refused(
        self,
        code: str,
        stretch: Mapping[TopicPartition, tuple[int, int]],
        records: int,
    ) -> None:
        """Learn that a transaction was aborted because the broker refused an output.

        Args:
            code: The broker's code.
            stretch: First offset, and the one behind the last, of each partition touched.
            records: How many records the transaction held.

        Raises:
            FatalFailure: A condemned record's dead letter is refused, too.
        """
        starts = [(partition, first) for partition, (first, _) in stretch.items()]
        # By position, since the client goes on with another partition after each abort.
        self._refusals.update(starts)
        again = any(self._refusals[start] >= ABORTS_BEFORE_SEARCH for start in starts)
        if not again and not self._until:
            return
        for partition, (_, behind) in stretch.items():
            self._until[partition] = max(self._until.get(partition, 0), behind)
        self.limit = max(1, records // 2)
        if records == 1:
            for partition, (first, behind) in stretch.items():
                verdict = Condemned(first, behind, code)
                if self._condemned.get(partition) == verdict:
                    raise FatalFailure(
                        code, f"the dead letter for {partition}/{first} is refused as well"
                    )
                self._condemned[partition] = verdict

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Learn that everything below ``offsets`` has been committed."""
        for start in [start for start in self._refusals if start[0] in offsets]:
            del self._refusals[start]
        if self.limit is None:
            return
        self.limit *= 2  # the rest of the stretch may be fine
        for partition, offset in offsets.items():
            if offset >= self._until.get(partition, 0):
                self._until.pop(partition, None)
            if partition in self._condemned and offset >= self._condemned[partition].behind:
                del self._condemned[partition]
        self._rest_if_done()

    def dropped(self, partitions: Iterable[TopicPartition]) -> None:
        """Learn that partitions are no longer ours."""
        partitions = set(partitions)
        for partition in partitions:
            self._until.pop(partition, None)
            self._condemned.pop(partition, None)
        for start in [start for start in self._refusals if start[0] in partitions]:
            del self._refusals[start]
        self._rest_if_done()

    def verdicts(self, records: Records) -> dict[int, str]:
        """Return the condemned offsets among ``records``, each with the broker's code."""
        verdict = self._condemned.get(records.source)
        if verdict is None:
            return {}
        return {
            offset: verdict.code
            for offset in records.offsets
            if verdict.first <= offset < verdict.behind
        }

    def _rest_if_done(self) -> None:
        if not self._until:
            self.limit = None
