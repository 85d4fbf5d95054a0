"""Where reading goes on, and which partitions wait."""

from __future__ import annotations

from lanternpipe.records import TopicPartition
from lanternpipe.runtime.steering import Steering
from lanternpipe.testing.doubles import Clock
from lanternpipe.testing.fake_broker import FakeBroker, Stored
from lanternpipe.testing.fake_source import FakeSource

HERE, THERE = TopicPartition("in", 0), TopicPartition("in", 1)


class Bench:
    """Steering over a source that has two partitions."""

    def __init__(self) -> None:
        broker = FakeBroker.with_partitions(2)
        for log in broker.logs.values():
            log.extend([Stored(b"v")] * 10)
        self.source = FakeSource(broker)
        self.source.assigned.update({HERE: 5, THERE: 5})
        self.clock = Clock()
        self.steering = Steering(self.source, self.clock)

    def apply(self, seconds: float = 0.0) -> set[TopicPartition]:
        """Let time pass, apply, and return what is paused."""
        self.clock.now += seconds
        self.steering.apply(self.source.assigned.keys())
        assert self.steering.waiting >= self.source.paused
        return self.source.paused


def test_a_held_partition_waits_and_the_others_do_not() -> None:
    """It is moved back and paused until its time has come."""
    bench = Bench()
    bench.steering.hold(HERE, 2, 3.0)
    assert bench.apply() == {HERE}
    assert bench.source.assigned == {HERE: 2, THERE: 5}
    assert bench.apply(2.9) == {HERE}
    assert bench.apply(0.2) == set()


def test_how_long_the_loop_may_sleep() -> None:
    """No longer than until the next partition goes on."""
    bench = Bench()
    assert bench.steering.seconds_until_due(1.0) == 1.0
    bench.steering.hold(HERE, 2, 0.3)
    bench.steering.hold(THERE, 2, 3.0)
    assert bench.steering.seconds_until_due(1.0) == 0.3
    bench.clock.now = 9.0
    assert bench.steering.seconds_until_due(1.0) == 0.0


def test_what_is_undone_is_read_again_at_once() -> None:
    """A partition that was to wait goes on when it is moved to an earlier place."""
    bench = Bench()
    bench.steering.hold(HERE, 2, 3.0)
    bench.apply()
    bench.steering.move({HERE: 1})
    assert HERE in bench.steering
    assert bench.apply() == set()
    assert bench.source.assigned[HERE] == 1
    assert HERE not in bench.steering


def test_all_wait_for_a_cause_of_their_own() -> None:
    """A stop concerns all partitions, and each cause is taken back by itself."""
    bench = Bench()
    bench.steering.stop("breaker")
    bench.steering.stop("backpressure")
    assert bench.apply() == {HERE, THERE}
    bench.steering.go("breaker")
    assert bench.apply() == {HERE, THERE}
    bench.steering.hold(HERE, 2, 3.0)
    bench.steering.go("backpressure")
    assert bench.apply() == {HERE}


def test_what_the_client_refuses_is_tried_again() -> None:
    """In the midst of a rebalance nothing can be moved or paused; it is done later."""
    bench = Bench()
    bench.steering.hold(HERE, 2, 3.0)
    bench.source.busy = 2
    assert bench.apply() == set()
    assert HERE in bench.steering
    assert bench.apply() == {HERE}
    bench.source.busy = 1
    assert bench.apply(4.0) == {HERE}
    assert bench.apply() == set()


def test_a_pause_does_not_outlive_the_assignment() -> None:
    """The client keeps a partition paused that goes and comes back; we do not."""
    bench = Bench()
    bench.steering.hold(HERE, 2, 3.0)
    bench.apply()
    bench.steering.dropped([HERE])
    bench.steering.assigned([HERE])
    assert bench.source.paused == {HERE}
    assert bench.apply() == set()
    assert HERE not in bench.steering


def test_new_partitions_wait_with_the_others() -> None:
    """What is assigned while all wait is paused, too."""
    bench = Bench()
    del bench.source.assigned[THERE]
    bench.steering.stop("breaker")
    assert bench.apply() == {HERE}
    bench.source.assigned[THERE] = 0
    bench.steering.assigned([THERE])
    assert bench.apply() == {HERE, THERE}
