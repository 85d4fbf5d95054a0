"""What became of deliveries: counted in batches, added up at commit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias

Outcome: TypeAlias = tuple[str, str]
"""Outcome and reason, such as ``("filtered", "old_app_version")``; the reason may be empty."""

OUTCOMES = ("processed", "filtered", "retried", "dead_lettered", "duplicate", "abandoned")
PROCESSED: Outcome = ("processed", "")
DUPLICATE: Outcome = ("duplicate", "")


@dataclass(slots=True)
class Outcomes:
    """The ledger: ``consumed`` equals all outcomes plus what is in flight.

    Attributes:
        consumed: Deliveries handed to us in this process's life.
        counted: Final outcomes.
        pending: Outcomes that hold once the open work is committed.
    """

    consumed: int = 0
    counted: Counter[Outcome] = field(default_factory=Counter)
    pending: Counter[Outcome] = field(default_factory=Counter)

    def commit(self) -> None:
        """Make the pending outcomes final."""
        self.counted.update(self.pending)
        self.pending.clear()

    def abandon(self, records: int, cause: str) -> None:
        """Drop the pending outcomes; their records will be delivered again."""
        self.pending.clear()
        if records:
            self.counted["abandoned", cause] += records

    def unaccounted(self, in_flight: int) -> int:
        """Return how many deliveries nobody knows the fate of; anything but 0 is a bug."""
        return self.consumed - self.counted.total() - in_flight

    def totals(self) -> dict[str, int]:
        """Return the final counts of all outcomes, over all reasons."""
        totals = dict.fromkeys(OUTCOMES, 0)
        for (name, _), count in self.counted.copy().items():
            totals[name] += count
        return totals
