"""What is to become of a run of records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lanternpipe.records import Outgoing
from lanternpipe.runtime.deadletter import Cause
from lanternpipe.runtime.retry import Held


@dataclass(slots=True)
class Plan:
    """What is to be produced for a run of records, and how its records are counted.

    Attributes:
        outgoing: Outputs, records for retry topics and dead letters.
        processed: How many records have at least one output, or an empty list of them.
        filtered: Counts by the reason of ``Skip``.
        dead_lettered: Counts by kind of cause.
        causes: One per dead letter, for the log.
        retried: Counts of what goes to retry topics, by the reason of ``Retry``.
        waiting: One per record that goes to a retry topic.
        held: Where the plan ends: this record, and what is behind it, is to be read again.
    """

    outgoing: list[Outgoing] = field(default_factory=list)
    processed: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    dead_lettered: Counter[str] = field(default_factory=Counter)
    causes: list[tuple[int, Cause]] = field(default_factory=list)
    retried: Counter[str] = field(default_factory=Counter)
    held: Held | None = None
    waiting: list[tuple[int, Cause]] = field(default_factory=list)

    def failures(self) -> list[tuple[int, Cause]]:
        """Return what failed, by offset: dead letters, and records for retry topics."""
        return self.causes + self.waiting
