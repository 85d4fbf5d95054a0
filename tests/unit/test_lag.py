"""How far partitions are behind, in records and in seconds."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanternpipe.errors import RetriableFailure
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.lag import Lag, LagWatch, lag
from lanternpipe.runtime.positions import Position
from lanternpipe.testing.doubles import Clock

HERE, THERE = TopicPartition("in", 0), TopicPartition("in", 1)
NOW = 2_000.0


class FakeEnds:
    """Knows where partitions end, unless the broker is away."""

    def __init__(self, ends: dict[TopicPartition, int]) -> None:
        self.ends = ends
        self.away = False

    def last_stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Answer for those that are asked for."""
        if self.away:
            raise RetriableFailure("_TRANSPORT", "asking")
        return {at: self.ends[at] for at in partitions}


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (Position(), None),
        (Position(next=100), Lag(0, 0.0)),
        (Position(next=100, newest_ms=1_000_000), Lag(0, 0.0)),
        (Position(next=90, newest_ms=1_500_000), Lag(10, 500.0)),
        (Position(next=90), Lag(10, 0.0)),
        (Position(next=90, oldest_ms=1_000_000, newest_ms=1_500_000, in_flight=3), Lag(10, 1000.0)),
        (Position(next=100, oldest_ms=1_990_000, newest_ms=1_999_000, in_flight=3), Lag(0, 10.0)),
        (Position(next=110, newest_ms=1_990_000), Lag(0, 0.0)),
        (Position(next=90, newest_ms=9_999_000), Lag(10, 0.0)),
    ],
    ids=[
        "unknown",
        "caught up",
        "caught up with a past",
        "behind",
        "behind without a past",
        "behind with work in hand",
        "caught up with work in hand",
        "the end is old news",
        "clocks differ",
    ],
)
def test_lag(position: Position, expected: Lag | None) -> None:
    """Lag is what is left to read, and the age of the oldest record that is not finished."""
    assert lag(position, 100, NOW) == expected


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 3_000_000), st.integers(0, 5))
def test_lag_is_never_negative(next_: int, end: int, oldest: int, in_flight: int) -> None:
    """Whatever clocks and brokers say, lag is 0 or more, and 0 seconds with nothing to do."""
    found = lag(Position(next=next_, oldest_ms=oldest, in_flight=in_flight), end, NOW)
    assert found is not None
    assert found.records == max(0, end - next_)
    assert found.seconds >= 0
    assert found.records or in_flight or found.seconds == 0


def test_only_assigned_partitions_with_an_answer_are_told() -> None:
    """Lag is known for partitions that are ours and whose end the broker has told."""
    positions = {HERE: Position(next=90), THERE: Position(next=5)}
    watch = LagWatch(FakeEnds({HERE: 100, THERE: 5}), lambda: positions, clock=Clock(NOW))
    assert watch.current() == {}
    watch.refresh()
    assert watch.current() == {HERE: Lag(10, 0.0), THERE: Lag(0, 0.0)}
    del positions[HERE]
    positions[TopicPartition("in", 2)] = Position(next=1)
    assert watch.current() == {THERE: Lag(0, 0.0)}


def test_an_answer_that_does_not_come_leaves_the_last_one() -> None:
    """While the broker is away the last known ends count, and nobody is told that it answered."""
    answers: list[None] = []
    ends = FakeEnds({HERE: 100})
    watch = LagWatch(
        ends,
        lambda: {HERE: Position(next=90)},
        clock=Clock(NOW),
        on_answer=lambda: answers.append(None),
    )
    watch.refresh()
    ends.away = True
    watch.refresh()
    assert watch.current() == {HERE: Lag(10, 0.0)}
    assert len(answers) == 1


def test_it_is_asked_in_the_background() -> None:
    """Within the block the broker is asked again and again, and no more behind it."""
    asked = threading.Event()
    watch = LagWatch(FakeEnds({HERE: 1}), lambda: {HERE: Position(next=0)}, on_answer=asked.set)
    with watch.running():
        assert asked.wait(10)
    assert watch.current()[HERE].records == 1
