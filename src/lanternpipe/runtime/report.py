"""What the processor's loop says in its log: failures by kind, and a summary now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lanternpipe.ports import Log
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.deadletter import Cause
from lanternpipe.runtime.outcomes import Outcomes

DEAD_LETTERS_EVERY = 10.0  # seconds between lines about one kind of dead letter
SUMMARY_EVERY = 10.0  # seconds


@dataclass(slots=True)
class _Kind:
    """Dead letters that share kind, class and field, with the first of them as an example."""

    cause: Cause
    first: str = ""
    records: int = 0
    told_at: float = -math.inf


class Report:
    """Collects what there is to say, so that no line is written per record.

    Args:
        log: Writes log lines.
        clock: Monotonic seconds.
    """

    def __init__(self, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._open: list[tuple[TopicPartition, int, Cause]] = []
        self._kinds: dict[tuple[str, str, str | None], _Kind] = {}
        self._summed_at = clock()
        self._consumed = 0

    def note(self, source: TopicPartition, causes: Iterable[tuple[int, Cause]]) -> None:
        """Remember dead letters that are not yet committed."""
        self._open.extend((source, offset, cause) for offset, cause in causes)

    def abandon(self) -> None:
        """Forget what was not committed; it will come again."""
        self._open.clear()

    def commit(self) -> None:
        """Take over what was noted: it is final now."""
        for source, offset, cause in self._open:
            key = (cause.kind, cause.error, cause.field)
            kind = self._kinds.setdefault(key, _Kind(cause))
            if not kind.records:
                kind.cause, kind.first = cause, f"{source}/{offset}"
            kind.records += 1
        self._open.clear()

    def tell(self, outcomes: Outcomes, in_flight: Callable[[], int]) -> None:
        """Write what is due."""
        now = self._clock()
        if self._kinds:
            self.tell_dead_letters(now - DEAD_LETTERS_EVERY)
        if now - self._summed_at >= SUMMARY_EVERY:
            self._summed_at = now
            if outcomes.consumed == self._consumed:
                return  # nothing has happened: silence says so
            self._consumed = outcomes.consumed
            self._log(
                "info",
                "progress",
                consumed=outcomes.consumed,
                in_flight=in_flight(),
                **outcomes.totals(),
            )

    def tell_dead_letters(self, before: float = math.inf) -> None:
        """Write one line for each kind of dead letter that was told last before a moment."""
        for kind in self._kinds.values():
            if not kind.records or kind.told_at > before:
                continue
            cause, kind.told_at = kind.cause, self._clock()
            self._log(
                "error" if cause.kind == "bug" else "warning",
                "records_dead_lettered",
                kind=cause.kind,
                error=cause.error,
                field=cause.field,
                limit=cause.limit,
                stage=cause.stage,
                frames=list(cause.frames) or None,
                records=kind.records,
                first=kind.first,
                # Of the first one, by their places in `version-trace-span-flags`.
                trace_id=cause.traceparent[3:35].decode() if cause.traceparent else None,
                span_id=cause.traceparent[36:52].decode() if cause.traceparent else None,
            )
            kind.records = 0
