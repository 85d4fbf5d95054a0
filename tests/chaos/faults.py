"""The faults of a run: what is hurt and when, from a seed; carried out, and kept book of."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Literal, NamedTuple

from lanternpipe.records import TopicPartition
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.waiting import until
from tests.chaos.watch import CommitWatch

TAKE_OVER_SECONDS = 60.0  # a session time-out of 6 s and a rebalance: up to 11 s seen
BROKER, RUN_SECONDS, PAUSE_SECONDS = 1, 0.002, 0.03  # the latter while it is slow
FENCED = 5  # exit code of a process that another one has replaced

Kind = Literal["kill", "freeze", "restart broker"]


class Fault(NamedTuple):
    """One fault that is planned.

    Attributes:
        kind: A process is killed and started again, or frozen until others have its partitions
            and then let go on as a zombie, or the broker is restarted in order.
        target: Which process, by number; for the broker, which one must be at work.
        after: Seconds after that process was seen at work.
    """

    kind: Kind
    target: int
    after: float


def schedule(
    seed: int, *, kills: Sequence[int], freezes: Sequence[int], restarts: int
) -> list[Fault]:
    """Plan the faults of a run; the same seed gives the same plan.

    Args:
        seed: Of order and times.
        kills: How many times each process is killed.
        freezes: Which processes are frozen.
        restarts: How many times the broker is restarted.
    """
    rng = random.Random(seed)
    plan: list[tuple[Kind, int]] = [("freeze", target) for target in freezes]
    plan += [("kill", target) for target, times in enumerate(kills) for _ in range(times)]
    plan += [("restart broker", rng.randrange(len(kills))) for _ in range(restarts)]
    rng.shuffle(plan)
    return [Fault(kind, target, round(rng.uniform(0.0, 1.0), 3)) for kind, target in plan]


@contextmanager
def slow_broker(cluster: KafkaCluster) -> Iterator[None]:
    """Let the brokers answer once in a while only.

    Requests then take up most of the time, so that a kill hits a process in the middle of a
    commit, between two requests, and seldom at work, where it would do little harm.
    """
    done = Event()

    def stutter() -> None:
        while not done.wait(RUN_SECONDS):
            for broker in cluster.brokers:
                cluster.pause(broker)
            time.sleep(PAUSE_SECONDS)
            for broker in cluster.brokers:
                cluster.resume(broker)

    thread = Thread(target=stutter, name="slow-broker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Chaos:
    """Carries faults out and keeps book of them.

    Args:
        cluster: Whose broker is restarted.
        deployment: Whose group is watched.
        processors: The targets. One that has an instance is replaced while it is frozen, as by a
            supervisor that takes it for dead; of the two, one must give way.
        watch: Knows how long the group stood still.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        deployment: Deployment,
        processors: list[Processor],
        watch: CommitWatch,
    ) -> None:
        self.processors = processors
        self._cluster = cluster
        self._deployment = deployment
        self._watch = watch
        self._began = time.monotonic()
        self._book: list[tuple[float, str]] = []

    def run(self, fault: Fault) -> None:
        """Wait until the target is at work, then hurt it, and help it up again."""
        target = self.processors[fault.target]
        self._await_work(target)
        time.sleep(fault.after)  # a moment from the seed: nothing is waited for
        if not target.partitions():  # a rebalance came in between
            self._await_work(target)
        if fault.kind == "restart broker":
            self._cluster.stop(BROKER)
            self._note("broker stopped")
            self._cluster.start(BROKER)
            self._note("broker started")
        elif fault.kind == "kill":
            with slow_broker(self._cluster):
                time.sleep(fault.after)
                target.kill()
            self._note(f"{target.name} killed")
            target.start()
        else:
            self._freeze(fault.target)

    def book(self) -> str:
        """Return what was done and when, and how long the group stood still thereafter."""
        lines = []
        for at, text in self._book:
            line = f"{at - self._began:6.1f} s  {text}"
            if text.endswith(("killed", "frozen", "stopped")):
                stall = self._watch.stall(at)
                line += " (committed again after {:.1f} s, on all partitions {:.1f} s)".format(
                    *stall or (float("nan"), float("nan"))
                )
            lines.append(line)
        return "\n".join(lines)

    def _freeze(self, number: int) -> None:
        target = self.processors[number]
        lost = target.partitions()
        self._note(f"{target.name} frozen")
        target.send(signal.SIGSTOP)
        replacement = target.replacement()
        if replacement is not None:
            self.processors[number] = replacement.start()
        heirs = [each for each in self.processors if each is not target]
        everything = set(self._deployment.partitions)
        self._until(
            lambda: set().union(*(each.partitions() for each in heirs)) == everything,
            f"take-over of the partitions of {target.name}",
        )
        self._await_progress(lost)
        self._note(f"{target.name} wakes up as a zombie")
        target.send(signal.SIGCONT)
        if replacement is not None:
            until(
                lambda: not (target.running and replacement.running),
                TAKE_OVER_SECONDS,
                f"the end of {target.name} or its replacement",
            )
            if target.running:
                self.processors[number] = target
            loser = replacement if target.running else target
            assert loser.wait() == FENCED, f"{loser.name}\n{loser.tail()}"
            self._note(f"{loser.name} has given way")

    def _await_work(self, target: Processor) -> None:
        """Wait until a process commits: to hurt one that does nothing would prove nothing."""
        self._until(lambda: bool(target.partitions()), f"partitions for {target.name}")
        self._await_progress(target.partitions())

    def _await_progress(self, partitions: set[TopicPartition]) -> None:
        before: dict[TopicPartition, int] = {}

        def moved() -> bool:
            now = self._deployment.committed()
            if not before:
                before.update(now)
            return any(now[at] > before[at] for at in partitions)

        self._until(moved, f"a commit on one of {[*map(str, sorted(partitions))]}")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition while all processes run: none may end by itself."""

        def holds() -> bool:
            for each in self.processors:
                assert each.running, f"{each.name} has ended, waiting for {what}\n{each.tail()}"
            return condition()

        until(holds, TAKE_OVER_SECONDS, what)

    def _note(self, text: str) -> None:
        self._book.append((time.monotonic(), text))
