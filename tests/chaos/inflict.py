"""Carries faults out, helps the victims up again, and keeps book of both."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lanternpipe.records import TopicPartition
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.chaos.brokers import GROUPS, TRANSACTIONS, coordinator, in_sync, slow
from tests.chaos.deployment import Deployment
from tests.chaos.faults import Fault
from tests.chaos.processor import Processor
from tests.chaos.proxy import Mode, Proxy
from tests.chaos.waiting import until
from tests.chaos.watch import CommitWatch

TAKE_OVER_SECONDS = 90.0  # a session time-out of 6 s and a rebalance: up to 11 s seen
CUT_SECONDS = 2.0  # the shortest time that the way to a broker stays bad
MANY_ENDS = 10  # processes that end by themselves, in one run
FENCED = 5  # exit code of a process that another one has replaced
CUTS: dict[str, Mode] = {"half-open": "half-open", "delay": "delay", "drop": "drop"}


class Entry(NamedTuple):
    """One line of the book.

    Attributes:
        at: When, on the monotonic clock.
        text: What happened.
        hurts: Whether the group has to recover from it.
    """

    at: float
    text: str
    hurts: bool


class Chaos:
    """Carries faults out and keeps book of them.

    Args:
        cluster: Whose brokers are hurt.
        deployment: Whose group is watched.
        processors: The targets. One that has an instance is replaced while it is frozen, as by a
            supervisor that takes it for dead; of the two, one must give way.
        watch: Knows how long the group stood still.
        doors: The proxies before the brokers, by which some of the processors come.

    Attributes:
        own_ends: Exit codes of processes that ended unasked, and were started again.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        deployment: Deployment,
        processors: list[Processor],
        watch: CommitWatch,
        doors: Sequence[Proxy] = (),
    ) -> None:
        self.processors = processors
        self.own_ends: list[int] = []
        self.entries: list[Entry] = []
        self.began = time.monotonic()
        self._cluster, self._deployment, self._watch = cluster, deployment, watch
        self._doors = doors
        self._guests = 0

    def await_group(self) -> None:
        """Wait until every processor has partitions, and every partition a processor.

        A static member that is killed between the two rounds of a rebalance comes back with its
        old partitions, and those it was to give up belong to nobody until the next rebalance.
        """
        everything = set(self._deployment.partitions)
        self._until(
            lambda: (
                all(each.partitions() for each in self.processors)
                and self._held(self.processors) >= everything
            ),
            "partitions for all",
        )

    def run(self, fault: Fault) -> None:
        """Wait until the target is at work, then hurt it, and help it up again."""
        targets = [self.processors[number] for number in fault.targets]
        target = targets[0]
        if any(each.static for each in targets):
            self.await_group()
        self._await_work(target)
        time.sleep(fault.after)  # a moment from the seed: nothing is waited for
        if not self._own(target):  # a rebalance came in between
            self._await_work(target)
        if fault.kind in {"kill", "stop"}:
            self._end(fault, targets)
        elif fault.kind == "freeze":
            self._freeze(fault.targets[0])
        elif fault.kind == "join and leave":
            self._visit()
        elif "broker" in fault.kind or "coordinator" in fault.kind:
            self._hurt_broker(fault, target)
        else:
            self._cut(fault, target)

    def recoveries(self) -> list[tuple[Entry, tuple[float, float] | None]]:
        """Return what happened, and how long the group stood still thereafter."""
        return [(each, self._watch.stall(each.at) if each.hurts else None) for each in self.entries]

    def book(self) -> str:
        """Return what was done and when, and how long the group stood still thereafter."""
        lines = []
        for entry, stall in self.recoveries():
            line = f"{entry.at - self.began:6.1f} s  {entry.text}"
            if entry.hurts:
                line += " (committed again after {:.1f} s, on all partitions {:.1f} s)".format(
                    *stall or (float("nan"), float("nan"))
                )
            lines.append(line)
        return "\n".join(lines)

    def _end(self, fault: Fault, targets: list[Processor]) -> None:
        names = ", ".join(each.name for each in targets)
        if fault.kind == "kill":
            with slow(self._cluster):
                time.sleep(fault.after)
                for each in targets:
                    each.kill()
            self._note(f"{names} killed", hurts=True)
        else:
            # One that has not come so far cannot answer a request to stop.
            self._until(
                lambda: all(each.events("processor_starting") for each in targets),
                f"the start of {names}",
            )
            self._note(f"{names} stopped", hurts=True)
            for each in targets:
                each.send(signal.SIGTERM)
            for each in targets:
                code = each.wait()
                assert code == 0, f"exit code {code} after a request to stop\n{each.tail()}"
        for each in targets:
            each.start()

    def _visit(self) -> None:
        self._guests += 1
        guest = Processor(self._deployment, f"guest-{self._guests}").start()
        self._note(f"{guest.name} joins", hurts=True)
        self.processors.append(guest)
        self._await_work(guest)
        self.processors.remove(guest)
        self._note(f"{guest.name} leaves", hurts=True)
        assert guest.stop() == 0, guest.tail()

    def _hurt_broker(self, fault: Fault, target: Processor) -> None:
        admin, number = self._deployment.admin, fault.broker
        self._until(lambda: in_sync(admin), "all replicas")
        if fault.kind == "kill group coordinator":
            number = coordinator(admin, GROUPS, self._deployment.group)
        elif fault.kind == "kill transaction coordinator":
            number = coordinator(admin, TRANSACTIONS, target.transactional_id)
        role = fault.kind.removeprefix("kill ").removeprefix("restart ")
        if fault.kind == "restart broker":
            self._note(f"broker {number} stopped", hurts=True)
            self._cluster.stop(number)
        else:
            held = self._own(target)
            self._note(f"{role} {number} killed", hurts=True)
            self._cluster.kill(number)
            self._await_progress(held)
        self._cluster.start(number)
        self._note(f"broker {number} started")
        self._until(lambda: in_sync(admin), "all replicas")

    def _cut(self, fault: Fault, target: Processor) -> None:
        door = self._doors[fault.broker - 1]
        where = f"{target.name} and broker {fault.broker}"
        if fault.kind == "late commit":
            late = door.late
            late.arm()
            self._until(late.held.is_set, "a commit")
            self._note(f"a commit of {target.name} held back", hurts=True)
            self._until(late.answered.is_set, "the late commit")
            self._note("it has reached the broker")
            return
        self._note(f"{fault.kind} between {where}", hurts=True)
        if mode := CUTS.get(fault.kind):
            door.turn(mode)
            time.sleep(CUT_SECONDS * (1 + fault.after))  # the fault itself
            door.turn("open")
            self._note(f"way open between {where}")
        if fault.kind in {"reset", "half-open"}:
            door.reset()

    def _freeze(self, number: int) -> None:
        target = self.processors[number]
        lost = self._own(target)
        self._note(f"{target.name} frozen", hurts=True)
        target.send(signal.SIGSTOP)
        replacement = target.replacement()
        if replacement is not None:
            self.processors[number] = replacement.start()
        heirs = [each for each in self.processors if each is not target]
        everything = set(self._deployment.partitions)
        self._until(
            lambda: self._held(heirs) >= everything,
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

    def _own(self, processor: Processor) -> set[TopicPartition]:
        return processor.partitions() & set(self._deployment.partitions)

    def _held(self, processors: Sequence[Processor]) -> set[TopicPartition]:
        return set().union(*(each.partitions() for each in processors))

    def _await_work(self, target: Processor) -> None:
        """Wait until a process commits: to hurt one that does nothing would prove nothing."""
        self._until(lambda: bool(self._own(target)), f"partitions for {target.name}")
        self._await_progress(self._own(target))

    def _await_progress(self, partitions: set[TopicPartition]) -> None:
        before: dict[TopicPartition, int] = {}

        def moved() -> bool:
            now = self._deployment.committed()
            if not before:
                before.update(now)
            return any(now[at] > before[at] for at in partitions)

        self._until(moved, f"a commit on one of {[*map(str, sorted(partitions))]}")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; a process that ends by itself meanwhile is started again."""

        def holds() -> bool:
            self.supervise()
            return condition()

        until(holds, TAKE_OVER_SECONDS, what)

    def supervise(self) -> None:
        """Start again, as a supervisor does, what has ended by itself."""
        for each in self.processors:
            if not each.running:
                code = each.wait()
                self.own_ends.append(code)
                self._note(f"{each.name} ended by itself with code {code}", hurts=True)
                assert len(self.own_ends) < MANY_ENDS, f"nothing keeps running\n{each.tail()}"
                each.start()

    def _note(self, text: str, *, hurts: bool = False) -> None:
        self.entries.append(Entry(time.monotonic(), text, hurts))
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)
