"""What stands still although there is work: partitions, and records in the transform."""

from __future__ import annotations

import pytest

from lanternpipe.records import Records, TopicPartition
from lanternpipe.runtime.batch import Progress
from lanternpipe.runtime.positions import Position
from lanternpipe.runtime.stall import HUNGRY_POLLS, Stalls
from lanternpipe.runtime.watchdog import EXIT_HUNG
from tests.unit.programs import run_program
from tests.unit.worlds import World

HERE, THERE = TopicPartition("in", 0), TopicPartition("in", 1)


class Bench:
    """One partition, looked at once a second for a minute."""

    def __init__(self) -> None:
        self.stalls = Stalls(20.0)
        self.next: int | None = 5
        self.end = 5
        self.polls = 0
        self.waiting: set[TopicPartition] = set()
        self.now = 0.0

    def look(self, seconds: int, *, hungry: int = 1) -> bool:
        """Look every second; tell whether it was found stuck at any time."""
        found: list[TopicPartition] = []
        for _ in range(seconds):
            self.now += 1
            self.polls += hungry
            positions = {HERE: Position(next=self.next)}
            found += self.stalls.look(
                self.now, positions, {HERE: self.end}, waiting=self.waiting, polls=self.polls
            )
        return bool(found)


def test_a_partition_that_has_records_and_gives_none_is_stuck() -> None:
    """It is found after the time that was set, and not before."""
    bench = Bench()
    bench.end = 9
    assert not bench.look(20)
    assert bench.look(1)


def test_one_that_never_gave_anything_is_stuck_too() -> None:
    """A partition need not have moved before."""
    bench = Bench()
    bench.next, bench.end = None, 9
    assert bench.look(21)


def test_an_idle_topic_is_no_stall() -> None:
    """Where there is nothing to read, nothing moves; for hours, if need be."""
    assert not Bench().look(5_000)


def test_an_open_transaction_upstream_is_no_stall() -> None:
    """The last stable offset stands still, whatever lies behind it."""
    bench = Bench()
    bench.next = bench.end = 5
    assert not bench.look(600)


def test_a_partition_that_waits_is_no_stall() -> None:
    """A record is to be tried again, or the broker takes no more; its time begins afterwards."""
    bench = Bench()
    bench.end, bench.waiting = 9, {HERE}
    assert not bench.look(600)
    bench.waiting = set()
    assert not bench.look(20)
    assert bench.look(1)


def test_a_rebalance_is_no_stall() -> None:
    """A partition that goes and comes back begins anew."""
    bench = Bench()
    bench.end = 9
    bench.look(19)
    bench.now += 1
    assert bench.stalls.look(bench.now, {}, {}, waiting=(), polls=99) == []
    assert not bench.look(20)


def test_a_slow_handler_is_no_stall() -> None:
    """While few polls are made, or each brings as much as was asked for, others have their turn."""
    bench = Bench()
    bench.end = 9
    assert not bench.look(600, hungry=0)
    bench.polls += HUNGRY_POLLS
    assert bench.look(1, hungry=0)


def test_a_slow_partition_is_no_stall() -> None:
    """One record in 19 seconds is slow, but it moves."""
    bench = Bench()
    for _ in range(10):
        bench.end += 9
        bench.next = (bench.next or 0) + 1
        assert not bench.look(19)


def test_a_loop_that_was_held_up_is_no_stall() -> None:
    """After a commit that took a minute, partitions get their time anew."""
    bench = Bench()
    bench.end = 9
    bench.look(3)
    bench.now += 60
    assert not bench.look(20)
    assert bench.look(1)


def test_ends_that_are_not_fresh_prove_nothing() -> None:
    """Where the broker does not say how far it is, nothing is stuck."""
    stalls = Stalls(20.0)
    for now in range(100):
        assert not stalls.look(now, {HERE: Position(next=5)}, {}, waiting=(), polls=now)


def test_a_stalled_client_is_replaced() -> None:
    """All partitions are let go, nothing is lost, and the new client goes on."""
    world = World(stall_after=20.0)
    world.stall = lambda: world.source.deaf.add(world.partitions[0])  # type: ignore[attr-defined]
    world.stand = lambda: setattr(world.clock, "now", world.clock.now + 10)  # type: ignore[attr-defined]
    world.source.on_rebuild = lambda: world.free.update(world.partitions)
    world.play(
        [
            [("assign", 0, False), ("assign", 0, False), ("due", True)],
            [("append", 0, ["good"]), ("append", 1, ["good"])],
            [("stall",), ("append", 0, ["good"] * 3)],
            *([[("stand",), ("append", 1, ["good"])]] * 5),
        ]
    )
    assert world.log.named("partitions_stalled") == [{"partitions": ["in/0"]}]
    assert world.broker.calls.count("rebuild_source") == 1
    assert world.processor.sight.stalls == 1


STUCK = """
    import time
    from lanternpipe.records import Records, TopicPartition
    from lanternpipe.runtime.batch import Progress
    from lanternpipe.runtime.stall import watched_transform

    records = Records(TopicPartition("in", 3), [7, 9], [None] * 2, [b"v"] * 2, [0, 0])
    events = iter([*"abcde"])
    progress = Progress(events, records, range(2))
    with watched_transform(lambda: progress, 1.5, time.monotonic):
"""


def test_a_record_from_which_the_transform_does_not_return_ends_the_process() -> None:
    """It is named, with the stacks of all threads."""
    ended = run_program(
        STUCK
        + """
        def never_returns():
            time.sleep(3600)

        for _ in range(5):
            next(events)
        never_returns()
    """
    )
    assert ended.returncode == EXIT_HUNG
    assert "has not come back from in/3/9 for 1.5 s" in ended.stderr
    assert "never_returns" in ended.stderr


def test_code_that_lets_no_other_thread_run_is_ended_all_the_same() -> None:
    """A regular expression that never ends holds the interpreter; the stacks tell where."""
    ended = run_program(
        STUCK
        + """
        import re
        next(events)
        time.sleep(0.5)  # so that the watch has begun
        re.match(r"(a+)+$", "a" * 64 + "b")
    """
    )
    assert ended.returncode != 0
    assert "Timeout" in ended.stderr
    assert "re" in ended.stderr


def test_a_slow_transform_that_goes_on_is_left_alone() -> None:
    """Each record may take as long as is set, a batch much longer."""
    ended = run_program(
        STUCK
        + """
        for _ in range(5):
            next(events)
            time.sleep(0.5)
        progress = None
        time.sleep(2.0)
        print("alive")
    """
    )
    assert ended.stdout == "alive\n", ended.stderr


@pytest.mark.parametrize(("done", "place"), [(0, "in/3/7"), (1, "in/3/7"), (2, "in/3/9")])
def test_progress_names_the_record(done: int, place: str) -> None:
    """The record is the one that was taken last."""
    records = Records(HERE._replace(partition=3), [7, 9], [None] * 2, [b"v"] * 2, [0, 0])
    events = iter(["a", "b"])
    for _ in range(done):
        next(events)
    assert Progress(events, records, range(2)).record() == place
