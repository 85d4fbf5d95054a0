"""What happens when partitions come and go. Called from within fetch, between two steps."""

from __future__ import annotations

from collections.abc import Iterable

from lanternpipe.ports import Log
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.measure import Measures
from lanternpipe.runtime.work import Work


class Rebalance:
    """Commits before partitions are given up, and undoes what was lost.

    No open work survives a revoke or a loss: under KIP-848 it could be committed later with valid
    metadata, while the new owner had started from the offset before it.
    """

    def __init__(self, work: Work, measures: Measures, health: Health, log: Log) -> None:
        self._work = work
        self._measures = measures
        self._health = health
        self._log = log
        self._armed = True

    def disarm(self) -> None:
        """Ignore what comes: the process is about to end."""
        self._armed = False

    def on_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Take over partitions; reading starts at their committed offsets."""
        partitions = list(partitions)
        with self._measures.rebalance("assigned"):
            self._work.take(partitions)
        self._health.joined()
        self._log("info", "partitions_assigned", partitions=[*map(str, partitions)])

    def on_revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Commit, then let go."""
        if not self._armed:
            return
        partitions = list(partitions)
        with self._measures.rebalance("revoked"):
            self._work.commit()
            self._work.let_go(partitions)
        self._log("info", "partitions_revoked", partitions=[*map(str, partitions)])

    def on_lost(self, partitions: Iterable[TopicPartition]) -> None:
        """Undo, then let go: another process may own the partitions already."""
        if not self._armed:
            return
        partitions = list(partitions)
        with self._measures.rebalance("lost"):
            self._work.abort("partitions_lost")
            self._work.let_go(partitions)
        self._log("warning", "partitions_lost", partitions=[*map(str, partitions)])
