"""The faults of a run: when which process or broker is hurt, from a seed, and what came of it."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.chaos.pipeline import Deployment, Processor
from tests.chaos.waiting import until

RECOVERY_SECONDS = 60.0  # session time-out, and what else a rebalance takes: up to 10 s seen
BROKER = 1

Kind = Literal["kill", "freeze", "restart broker"]


class Fault(NamedTuple):
    """One fault that is planned.

    Attributes:
        kind: What happens: a process is killed and started again; frozen until another has taken
            over its partitions, and let go on as a zombie; the broker is restarted in order.
        target: Which process, by number.
        after: Seconds after the target was seen at work.
    """

    kind: Kind
    target: int
    after: float


def schedule(seed: int, *, kills: int, freezes: tuple[int, ...], broker: int) -> list[Fault]:
    """Plan faults of two processes; the same seed gives the same plan.

    Args:
        seed: Of the order, the targets and the times.
        kills: How many processes are killed, both alike if the number is even.
        freezes: Which processes are frozen.
        broker: How many times the broker is restarted.
    """
    rng = random.Random(seed)
    plan: list[tuple[Kind, int]] = [("kill", number % 2) for number in range(kills)]
    plan += [("freeze", target) for target in freezes]
    plan += [("restart broker", rng.randrange(2)) for _ in range(broker)]
    rng.shuffle(plan)
    return [Fault(kind, target, round(rng.uniform(0.0, 1.5), 3)) for kind, target in plan]


class Chaos:
    """Carries faults out and keeps book of them.

    Args:
        cluster: Whose broker is restarted.
        deployment: Whose group is watched.
        processors: The targets. One with an instance is replaced while it is frozen, as a
            supervisor does that takes it for dead.
    """

    def __init__(
        self, cluster: KafkaCluster, deployment: Deployment, processors: list[Processor]
    ) -> None:
        self._cluster = cluster
        self._deployment = deployment
        self.processors = processors
        self.zombies: list[Processor] = []
        self._began = time.monotonic()
        self._book: list[str] = []

    def run(self, fault: Fault) -> None:
        """Wait until the target is at work, then hurt it and help it up again."""
        target = self.processors[fault.target]
        self._await_work(target)
        time.sleep(fault.after)
        self._note(f"{fault.kind} {target.name if fault.kind != 'restart broker' else BROKER}")
        before = self._deployment.committed()
        hurt = time.monotonic()
        {"kill": self._kill, "freeze": self._freeze, "restart broker": self._restart}[fault.kind](
            target
        )
        until(lambda: self._moved(before), RECOVERY_SECONDS, "commits after a fault")
        self._note(f"  first commit {time.monotonic() - hurt:.1f} s after it")

    def book(self) -> str:
        """Return what was done and when, in seconds since the beginning."""
        return "\n".join(self._book)
