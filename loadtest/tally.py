"""What happened in each second, from all processes that send and the one that reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadtest.latencies import Latencies, of_text

COUNTS = ("offered", "sent", "poison", "acked", "undelivered", "full", "seen", "dead")
LATENCIES = ("delay", "ack", "end_to_end")


class Second:
    """One second.

    Attributes:
        offered: Records due in it.
        sent: Records that were given to the client.
        poison: Those of them that are broken.
        acked: Records that the broker has acknowledged.
        undelivered: Records that it did not take.
        full: How often the client's queue was full.
        seen: Outputs that a reader of committed records has seen.
        dead: Dead letters that it has seen.
        delay: From the intended time to the client's acceptance.
        ack: From the intended time to the broker's acknowledgement.
        end_to_end: From the intended time to the sight of the output.
    """

    __slots__ = (*COUNTS, *LATENCIES)

    def __init__(self) -> None:
        self.offered = self.sent = self.poison = self.acked = self.undelivered = 0
        self.full = self.seen = self.dead = 0
        self.delay, self.ack, self.end_to_end = Latencies(), Latencies(), Latencies()

    def merge(self, other: Second) -> None:
        """Add what another process has counted in the same second."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in LATENCIES:
            getattr(self, name).merge(getattr(other, name))

    def as_json(self) -> dict[str, Any]:
        """Return it for another process; what is nothing is left out."""
        counts = {name: value for name in COUNTS if (value := getattr(self, name))}
        return counts | {
            name: dict(counts) for name in LATENCIES if (counts := getattr(self, name).counts)
        }

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Second:
        """Read it again."""
        second = cls()
        for name, value in given.items():
            setattr(second, name, of_text(value) if name in LATENCIES else value)
        return second


class Tally(dict[int, Second]):
    """Seconds since 1970, and what happened in each."""

    def __missing__(self, at: int) -> Second:
        """Begin a second."""
        second = self[at] = Second()
        return second

    def merge(self, other: Mapping[int, Second]) -> None:
        """Add what another process has counted."""
        for at, second in other.items():
            self[at].merge(second)

    def taken(self) -> dict[str, dict[str, Any]]:
        """Return all for another process, and forget it."""
        told = self.as_json()
        self.clear()
        return told

    def as_json(self) -> dict[str, dict[str, Any]]:
        """Return all for another process."""
        return {str(at): second.as_json() for at, second in sorted(self.items())}

    @classmethod
    def of_json(cls, given: Mapping[str, Mapping[str, Any]]) -> Tally:
        """Read it again."""
        return cls((int(at), Second.of_json(second)) for at, second in given.items())

    def total(self, name: str) -> int:
        """Return the sum of a count over all seconds."""
        return sum(getattr(second, name) for second in self.values())
