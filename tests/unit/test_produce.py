"""The producer's loop: an open-loop schedule, which never waits for answers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count as counting
from itertools import pairwise
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanternpipe.runtime.produce import CHUNK, PROGRESS_EVERY, due, produce
from lanternpipe.testing.doubles import Clock

RATES = st.floats(0.5, 5_000)


class Bench:
    """A loop with a clock of its own; sending takes as long as it is told to."""

    def __init__(self) -> None:
        self.clock = Clock(500.0)
        self.sent: list[float] = []
        self.told: list[tuple[int, float]] = []
        self.stalls: dict[int, float] = {}
        self.stop_after: float | None = None

    def run(self, samples: Iterator[Any] | None = None, **options: Any) -> int:
        """Run the loop to its end."""
        limits = {"rate": None, "count": None, "seconds": None, **options}
        return produce(
            counting() if samples is None else samples,
            self.send,
            stopping=lambda: self.stop_after is not None and self.elapsed() >= self.stop_after,
            progress=lambda sent, elapsed: self.told.append((sent, elapsed)),
            clock=self.clock,
            pause=self.clock.pause,
            **limits,
        )

    def send(self, sample: Any) -> None:
        """Send one, which may take a while."""
        self.sent.append(self.elapsed())
        self.clock.now += self.stalls.get(len(self.sent), 0.0)

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self.clock.now - 500.0


@given(st.floats(0, 1_000), RATES, st.integers(0, 10_000), st.none() | st.integers(0, 10_000))
def test_what_is_due(elapsed: float, rate: float, sent: int, count: int | None) -> None:
    """By any moment one event more than rate times time is due, capped, less what has left."""
    scheduled = floor(elapsed * rate) + 1
    capped = scheduled if count is None else min(scheduled, count)
    assert due(elapsed, rate, sent, count) == max(0, capped - sent)


@given(st.integers(1, 400), st.floats(1, 2_000))
def test_each_event_leaves_when_it_is_due(count: int, rate: float) -> None:
    """The n-th event leaves at n / rate, never sooner and at most one tick later."""
    bench = Bench()
    assert bench.run(rate=rate, count=count) == count
    for number, at in enumerate(bench.sent):
        assert number / rate - 1e-6 <= at <= number / rate + 0.0051


def test_it_catches_up_after_a_stall() -> None:
    """Events that fell due while sending stood still leave at once, so that none is left out."""
    bench = Bench()
    bench.stalls[10] = 3.0
    assert bench.run(rate=100, seconds=5.0) == 500
    in_the_stall = [at for at in bench.sent if 3.0 < at < 3.2]
    assert len(in_the_stall) >= 290


def test_as_fast_as_possible_has_no_pauses() -> None:
    """Without a rate the loop sends in chunks and never waits."""
    bench = Bench()
    assert bench.run(count=3 * CHUNK + 7) == 3 * CHUNK + 7
    assert bench.elapsed() == 0


@pytest.mark.parametrize("rate", [None, 1_000.0])
@pytest.mark.parametrize("count", [0, 1, CHUNK, CHUNK + 1])
def test_it_ends_by_count(count: int, rate: float | None) -> None:
    """Exactly as many events leave as were asked for."""
    bench = Bench()
    assert bench.run(count=count, rate=rate) == count
    assert len(bench.sent) == count


def test_it_ends_by_time() -> None:
    """With a rate, what is due within the time leaves; without, what fits into it."""
    assert Bench().run(rate=100, seconds=2.0) == 200
    bench = Bench()
    bench.stalls = dict.fromkeys(range(1, 10_000), 0.001)
    sent = bench.run(seconds=2.0)
    assert 2_000 <= sent <= 2_000 + CHUNK


@pytest.mark.parametrize("rate", [None, 1_000.0])
def test_it_ends_with_the_samples(rate: float | None) -> None:
    """When there are no more samples the loop ends, whatever was asked for."""
    assert Bench().run(iter(range(42)), rate=rate, count=1_000) == 42


@pytest.mark.parametrize("rate", [100.0, 1_000_000.0])
def test_it_ends_when_asked_to(rate: float) -> None:
    """A stop request is heard soon, even while catching up."""
    bench = Bench()
    bench.stop_after = 1.0
    bench.stalls = dict.fromkeys(range(1, 10_000), 0.001)
    bench.run(rate=rate)
    assert bench.elapsed() <= 1.0 + CHUNK * 0.001 + 0.01


def test_progress_is_told_twice_a_second_and_at_the_end() -> None:
    """Progress comes at a steady pace, with true numbers, and once more at the end."""
    bench = Bench()
    bench.run(rate=100, seconds=3.0)
    assert 5 <= len(bench.told) <= 8
    assert bench.told[-1][0] == 300
    assert all(abs(sent - 100 * elapsed) <= 2 for sent, elapsed in bench.told)
    times = [elapsed for _, elapsed in bench.told[:-1]]
    assert all(
        PROGRESS_EVERY <= later - sooner <= PROGRESS_EVERY + 0.01
        for sooner, later in pairwise(times)
    )
