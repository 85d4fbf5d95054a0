"""The faults of a run: what is hurt and when, from a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Kind = Literal[
    "kill",
    "stop",
    "freeze",
    "join and leave",
    "restart broker",
    "kill broker",
    "kill group coordinator",
    "kill transaction coordinator",
    "reset",
    "half-open",
    "delay",
    "drop",
    "late commit",
]
BROKERS = (1, 2, 3)
OF_TRANSACTIONS: frozenset[Kind] = frozenset({"kill transaction coordinator", "late commit"})
# How often each kind happens: to each process, or in all, to processes that the seed chooses.
Times = Mapping[Kind, Sequence[int] | int]


class Fault(NamedTuple):
    """One fault that is planned.

    Attributes:
        kind: A process is killed or stopped and started again, or frozen until others have its
            partitions and then let go on as a zombie; one more joins and leaves; a broker is
            killed or restarted in order; or the way from a process to a broker is hurt.
        targets: Which processes, by number; for a broker, which one must be at work.
        after: Seconds after the first of them was seen at work.
        broker: Which broker, where the kind does not say.
    """

    kind: Kind
    targets: tuple[int, ...]
    after: float
    broker: int = BROKERS[0]


def schedule(seed: int, times: Times, *, processors: int, at_once: int = 1) -> list[Fault]:
    """Plan the faults of a run; the same seed gives the same plan.

    Args:
        seed: Of order, times and targets.
        times: How often each kind happens.
        processors: How many there are.
        at_once: How many processes are killed or stopped together, where the seed chooses them.
    """
    rng = random.Random(seed)
    plan: list[tuple[Kind, tuple[int, ...]]] = []
    for kind, often in times.items():
        if isinstance(often, int):
            many = at_once if kind in {"kill", "stop"} else 1
            plan += [(kind, tuple(rng.sample(range(processors), many))) for _ in range(often)]
        else:
            plan += [(kind, (target,)) for target, count in enumerate(often) for _ in range(count)]
    rng.shuffle(plan)
    return [
        Fault(kind, targets, round(rng.uniform(0.0, 1.0), 3), rng.choice(BROKERS))
        for kind, targets in plan
    ]
