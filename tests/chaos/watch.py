"""How long a group stood still: its committed offsets over time."""

from __future__ import annotations

import time
from threading import Event, Thread
from types import TracebackType
from typing import Self

from lanternpipe.errors import KafkaFailure
from lanternpipe.records import TopicPartition
from tests.chaos.deployment import Deployment

SAMPLE_EVERY = 0.1


class CommitWatch:
    """Notes ten times a second, in a thread of its own, how far a group has committed."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._samples: list[tuple[float, dict[TopicPartition, int]]] = []
        self._stop = Event()
        self._thread = Thread(target=self._run, name="commit-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def stall(self, since: float) -> tuple[float, float] | None:
        """Return after how many seconds the first partition moved on, and after how many the last.

        Counted from a moment of the monotonic clock; None if some have not moved since.
        """
        before: dict[TopicPartition, int] = {}
        moved: dict[TopicPartition, float] = {}
        for at, offsets in self._samples:
            if at <= since:
                continue
            before = before or offsets
            for partition, offset in offsets.items():
                if offset > before[partition]:
                    moved.setdefault(partition, at - since)
            if len(moved) == len(offsets):
                return min(moved.values()), max(moved.values())
        return None

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY):
            try:
                self._samples.append((time.monotonic(), self._deployment.committed()))
            except KafkaFailure:
                continue
