"""A processor in a world where everything goes wrong that a test can think of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeAlias

from lanternpipe.errors import (
    AbortableFailure,
    FencedFailure,
    KafkaFailure,
    RefusedFailure,
    RetriableFailure,
    Retry,
)
from lanternpipe.pipeline import Context
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.acknowledged import AtLeastOnce
from lanternpipe.runtime.breaker import Breaker
from lanternpipe.runtime.commit import OUTDATED, Committer, ExactlyOnce
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.interval import CommitInterval
from lanternpipe.runtime.measure import Measures
from lanternpipe.runtime.process import Processor
from lanternpipe.runtime.retry import Attempts
from lanternpipe.runtime.stall import Stalls
from lanternpipe.runtime.watchdog import Deadline
from lanternpipe.testing.doubles import Clock, LogBook
from lanternpipe.testing.fake_broker import FakeBroker, Stored, Written
from lanternpipe.testing.fake_sink import FakePlainSink, FakeSink
from lanternpipe.testing.fake_source import FakeSource
from tests.unit.words import Word, transform, word_planner

DEADLINE = Deadline(60.0)  # one for all: each has a thread
PARTITIONS = 3
MOST_CALM_STEPS = 500

FAILURES: dict[str, Callable[[], KafkaFailure]] = {
    "retriable": lambda: RetriableFailure("COORDINATOR_LOAD_IN_PROGRESS", "asking"),
    "doubtful": lambda: RetriableFailure("_TIMED_OUT", "asking", indefinite=True),
    "abortable": lambda: AbortableFailure("ILLEGAL_GENERATION", "asking"),
    "refused": lambda: RefusedFailure("_INVALID_ARG", "files do not fit together"),
    "fenced": lambda: FencedFailure("PRODUCER_FENCED", "asking"),
}


Script: TypeAlias = list[list[tuple[Any, ...]]]
"""What happens before each turn of the loop: names of methods of ``World``, with arguments."""


class Patience:
    """The words' transform, for which it is too early for some words when they are new.

    Attributes:
        waits: For how many seconds it is too early, by kind of word.
        takes: Seconds for each word.
    """

    def __init__(self, clock: Clock) -> None:
        self.waits = {"later": 1, "latest": 3}
        self.takes = 0.0
        self._clock = clock
        self._seen: dict[str, float] = {}

    def transform(self, word: Word, ctx: Context[Any]) -> Any:
        """Do as the words' own, but ask for another attempt where a word wants that."""
        kind = word.text.partition(":")[0]
        self._clock.now += self.takes
        now = self._clock()
        if now < self._seen.setdefault(word.text, now) + self.waits.get(kind, 0):
            raise Retry("not_yet")
        return transform(word, ctx)


class CrashError(Exception):
    """The process has died."""


class ManualInterval(CommitInterval):
    """Commits are due at every turn, or never."""

    def __init__(self) -> None:
        super().__init__(0.0, 1e9)
        self.behind: list[bool] = []

    def observe(self, commit_seconds: float, *, behind: bool) -> None:
        """Learn nothing, but remember."""
        self.behind.append(behind)


class World:
    """Runs a processor through a script, then calms down and lets it finish.

    After each turn of the loop it holds that what is written is what belongs to the records
    below the committed offsets, and that the ledger is balanced. A rival, another member of the
    group, does honest work in partitions that are not the processor's.
    """

    def __init__(
        self,
        *,
        exactly_once: bool = True,
        most: int = 10,
        breaker: Breaker | None = None,
        stall_after: float = 1e9,
        batch_seconds: float = 1e9,
    ) -> None:
        self.broker = FakeBroker.with_partitions(PARTITIONS)
        self.broker.refuses = lambda each: (
            each.topic == "shouts-v2" and b"bad" in (each.value or b"")
        )
        self.partitions = list(self.broker.logs)
        self.exactly_once = exactly_once
        self.most = most
        self.breaker = breaker or Breaker(1.0, 10, enabled=False)
        self.stall_after = stall_after
        self.batch_seconds = batch_seconds
        self.clock = Clock()
        self.patience = Patience(self.clock)
        self.interval = ManualInterval()
        self.log = LogBook()
        self.pauses: list[float] = []
        self.free = set(self.partitions)
        self.searched = False  # whether a culprit was searched for in the last turn
        self._moving: set[TopicPartition] = set()
        self._coming: set[TopicPartition] = set()
        self.start()

    def start(self) -> None:
        """Start a process, perhaps after another has died."""
        self.source = FakeSource(self.broker)
        self.source.on_rebuild = self._leave
        self._version = self._clients = self._changes_due = 0
        self._denied = False
        self.sink = FakeSink(self.broker) if self.exactly_once else FakePlainSink(self.broker)
        self.health = Health(stuck_after=60.0, log=self.log)
        self.processor = Processor(
            source=self.source,
            committer=self._committer(),
            planner=word_planner(
                transform=self.patience.transform,
                retry=Attempts(first=1.5, longest=4.0, most=0, random=lambda: 1.0),
            ),
            app_settings=None,
            interval=self.interval,
            start="earliest",
            group="readers",
            batch_records=self.most,
            batch_seconds=self.batch_seconds,
            health=self.health,
            log=self.log,
            pause=self.pauses.append,
            measures=Measures(monotonic=self.clock),
            breaker=self.breaker,
            stalls=Stalls(self.stall_after),
            ends=lambda: {at: len(log) for at, log in self.broker.logs.items()},
            version=lambda: self._version,
        )

    def _leave(self) -> None:
        self._clients += 1
        self.broker.generation += 1
        self.free.update(self.source.assigned.keys() - self._coming)

    def _cut_off(self) -> RefusedFailure | None:
        if self.processor.outdated:
            return RefusedFailure(OUTDATED, "new ones are there")
        return RefusedFailure("_TLS", "brokers do not take us") if self._denied else None

    def play(self, script: Script) -> None:
        """Play a script, then calm down until all is done."""
        turns = self._turns(script)
        while True:
            try:
                self.processor.run(lambda: next(turns, True))
            except (CrashError, RefusedFailure):  # by its start, before anything was done
                self.broker.generation += 1
                self.free = set(self.partitions)
                self._moving.clear()
                self._coming.clear()
                self.start()
            else:
                break
        assert self.source.closed
        self.check()
        assert self.finished(), "not all was processed"
        assert len(self.log.named("clients_replaced")) >= self._changes_due, "old clients are left"

    def _turns(self, script: Script) -> Iterator[bool]:
        for events in script:
            for name, *arguments in events:
                getattr(self, name)(*arguments)
            self.clock.now += 1
            yield False
            self.check()
            self._moving.clear()
        self.broker.forgive()
        self._denied = False
        self.source.busy = self.source.quiet = self.sink.stuck = 0
        self.interval.seconds = 0.0
        for _ in range(MOST_CALM_STEPS):
            while self.free - self._moving:
                self.assign(0, late=False)
            self.clock.now += 1
            yield False
            self.check()
            self._moving.clear()
            self.searched = self.processor.work.culprits.limit is not None
            if self.finished() and not self.processor.work.positions.in_flight():
                return

    def steer(self) -> None:
        """Move the source to where it is to go on."""
        self.processor.steer()

    def finished(self) -> bool:
        """Tell whether all records have been processed and all markers passed."""
        return all(self.broker.group.get(at, 0) == len(log) for at, log in self.broker.logs.items())

    # What may happen in a script.

    def append(self, number: int, kinds: list[str]) -> None:
        """New records; no two have the same value."""
        log = self.broker.logs[self.partitions[number]]
        for kind in kinds:
            value = f"{kind}:{number}:{len(log)}".encode()
            log.append(Stored(value, b"key", 1_000 + len(log)))

    def mark(self, number: int) -> None:
        """A transaction marker."""
        self.broker.logs[self.partitions[number]].append(None)

    def due(self, due: bool) -> None:
        """Whether commits are due."""
        self.interval.seconds = 0.0 if due else 1e9

    def assign(self, number: int, late: bool) -> None:
        """A partition comes."""
        if partition := pick(self.free - self._moving, number):

            def come() -> None:
                self._coming.discard(partition)
                self.source.assign(partition)

            self._moving.add(partition)
            self._coming.add(partition)
            self.free.discard(partition)
            self._events(late).append(come)

    def revoke(self, number: int, late: bool) -> None:
        """A partition goes."""
        if partition := pick(self.source.assigned.keys() - self._moving, number):

            def go() -> None:
                if partition in self.source.assigned:  # and has not left with an old client
                    self.source.revoke(partition)
                self.free.add(partition)

            self._moving.add(partition)
            self._events(late).append(go)

    def lose(self, late: bool) -> None:
        """All partitions are lost; others have them at once, and we are told in the next fetch."""
        if self.source.assigned and not self._moving:
            self._moving.update(self.partitions)
            self.free.update(self.source.assigned)
            self.broker.generation += 1
            client = self._clients

            def learn() -> None:
                if client == self._clients:  # a client that has been replaced tells nothing
                    self.source.be_told_of_loss()

            self._events(late).append(learn)

    def rival(self, number: int, slots: int) -> None:
        """Another member of the group works."""
        if partition := pick(self.free, number):
            log, start = self.broker.logs[partition], self.broker.group.get(partition, 0)
            for offset in range(start, min(start + slots, len(log))):
                self.broker.store(expected(log[offset]), {partition: offset + 1})

    def fault(self, call: str, kind: str, applied: bool) -> None:
        """The next call of that name fails."""
        self.broker.fail(call, FAILURES[kind](), applied=applied and kind == "doubtful")

    def torn_commit(self, applied: bool, kind: str) -> None:
        """The next commit is in doubt, and then fails, whether it was carried out or not."""
        self.fault("commit", "doubtful", applied)
        self.fault("commit", kind, applied=False)

    def rotate(self) -> None:
        """Certificates are replaced, so that new clients are wanted."""
        self._version += 1
        self._changes_due = len(self.log.named("clients_replaced")) + 1

    def deny(self, denied: bool) -> None:
        """Brokers are known to refuse us, so that nothing is waited for; or not."""
        self._denied = denied

    def busy(self, seeks: int) -> None:
        """Seeks are refused for a while."""
        self.source.busy = seeks

    def quiet(self, fetches: int) -> None:
        """Nothing comes for a while."""
        self.source.quiet = fetches

    def again(self, number: int, back: int) -> None:
        """The client hands out records once more."""
        known = self.processor.work.positions.snapshot()
        seen = {at for at in self.source.assigned if at in known and known[at].next is not None}
        if partition := pick(seen, number):
            self.source.assigned[partition] = max(0, (self.source.assigned[partition] or 0) - back)

    def disturb(self) -> None:
        """A connection is lost."""
        self.sink.disturbed = True

    def crash(self) -> None:
        """The process dies in the midst of its turn."""

        def die() -> None:
            raise CrashError

        self.source.after.append(die)

    # What must hold.

    def check(self) -> None:
        """Compare what is written with what is committed, and balance the ledger."""
        due: Counter[tuple[str, bytes | None]] = Counter()
        for at, log in self.broker.logs.items():
            for stored in log[: self.broker.group.get(at, 0)]:
                due.update((each.topic, each.value) for each in expected(stored))
        written = Counter((each.topic, each.value) for each in self.broker.written)
        if self.exactly_once:
            assert written == due, "written is not what is committed"
            self._check_order()
        else:
            assert due <= written, "committed before it was written"
        work = self.processor.work
        in_flight = work.positions.in_flight()
        assert work.outcomes.consumed == sum(work.outcomes.counted.values()) + in_flight

    def _check_order(self) -> None:
        seen: dict[tuple[str, str], int] = defaultdict(lambda: -1)
        for each in self.broker.written:
            _, number, offset = (each.value or b"").decode().split(":")
            assert int(offset) > seen[each.topic, number], "out of order"
            seen[each.topic, number] = int(offset)

    def _events(self, late: bool) -> Any:
        return self.source.after if late else self.source.before

    def _committer(self) -> Committer:
        def wait(code: str) -> None:
            """Wait no longer."""

        if self.exactly_once:
            return ExactlyOnce(
                self.sink,
                self.source,
                deadline=DEADLINE,
                id_is_shared=False,
                waiting=wait,
                cut_off=self._cut_off,
            )
        return AtLeastOnce(
            self.sink, self.source, deadline=DEADLINE, waiting=wait, cut_off=self._cut_off
        )


def pick(partitions: Collection[TopicPartition], number: int) -> TopicPartition | None:
    """Choose one, if there is any."""
    return sorted(partitions)[number % len(partitions)] if partitions else None


def expected(stored: Stored | None) -> list[Written]:
    """Return what should be written for one record."""
    if stored is None or stored.value is None:
        return []
    kind = stored.value.decode().partition(":")[0]
    topics = {
        "skip": [],
        "good": ["shouts-v2"],
        "later": ["shouts-v2"],
        "latest": ["shouts-v2"],
        "two": ["shouts-v2", "whispers-v2"],
    }
    return [
        Written(topic, stored.key, stored.value, stored.timestamp)
        for topic in topics.get(kind, ["words.dlq"])
    ]
