"""What the loop shows of itself to other threads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from lanternpipe.records import TopicPartition
from lanternpipe.runtime.measure import Measured
from lanternpipe.runtime.outcomes import Outcome
from lanternpipe.runtime.positions import Position


@dataclass(frozen=True, slots=True)
class Sight:
    """What the loop knows of itself at the end of one turn, for other threads to read.

    Attributes:
        consumed: Deliveries handed to this process.
        in_flight: Deliveries not yet committed.
        unaccounted: Deliveries that nobody knows the fate of; anything but 0 is a bug.
        outcomes: Final outcomes by outcome and reason.
        positions: Where each assigned partition stands.
        measured: Times, ages and sizes.
        waiting: Partitions that are not read just now, on purpose.
        breaker_open: Whether the breaker has stopped the loop.
        breaker_openings: How often it has.
        stalls: How often the client was replaced because a partition stood still.
    """

    consumed: int = 0
    in_flight: int = 0
    unaccounted: int = 0
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    positions: Mapping[TopicPartition, Position] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)
    waiting: Collection[TopicPartition] = ()
    breaker_open: bool = False
    breaker_openings: int = 0
    stalls: int = 0
