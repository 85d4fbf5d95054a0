"""What a drill is: a fault, the alerts that it must bring, and those that it may bring, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.stack.drills.stage import Stage

FAULTS = "DRILL_FAULTS"  # the variable that tells processors what is to go wrong in them
Fault = Callable[["Stage"], AbstractContextManager[None]]


@dataclass(frozen=True)
class Drill:
    """One fault and what it must bring about.

    Attributes:
        name: For people.
        site: The group that is hurt.
        words: What is done, and how it is undone.
        fault: Makes it within its block.
        alerts: Those that must fire and, once it is undone, go.
        besides: Those that may fire as well, as the same fault is a reason for them, too.
        labels: What an alert must have, by its name; that it tells of the site is asked anyway.
        seconds: How long an alert may take to fire.
        everywhere: Whether its alerts may tell of anything, not just of the site.
    """

    name: str
    site: str
    words: str
    fault: Fault
    alerts: tuple[str, ...]
    besides: frozenset[str] = frozenset()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seconds: float = 60.0
    everywhere: bool = False

    def explains(self, name: str) -> bool:
        """Tell whether its fault is a reason for an alert."""
        return name in self.alerts or name in self.besides
