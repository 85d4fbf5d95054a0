"""Histograms counted by the batch, time split into phases, and the largest of late."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from lanternpipe.measures import Exemplar, PhaseClock, SlidingMaximum, Stamps, Tally
from lanternpipe.testing.doubles import Clock

BOUNDS = (0.005, 0.1, 1.0, 60.0)
NOW = 2_000_000


@given(st.lists(st.integers(NOW - 200_000, NOW + 5_000) | st.just(0), max_size=50))
def test_ages_are_counted_as_one_by_one(timestamps: list[int]) -> None:
    """Ages counted by the batch are those counted one by one; none where there is no timestamp."""
    tally = Tally(BOUNDS)
    future = tally.add_ages(NOW, Stamps.of(timestamps))

    known = [stamp for stamp in timestamps if stamp]
    ages = [max(0.0, (NOW - stamp) / 1_000) for stamp in known]
    expected = [0] * (len(BOUNDS) + 1)
    for age in ages:
        expected[bisect_left(BOUNDS, age)] += 1
    found = tally.read()
    assert list(found.counts) == expected
    assert abs(found.total - sum(ages)) < 1e-6
    assert future == sum(stamp > NOW for stamp in known)
    assert found.cumulated()[-1] == len(known)


@given(st.lists(st.integers(NOW - 200_000, NOW), min_size=1, max_size=50))
def test_what_is_kept_of_ages_counts_all_of_them(timestamps: list[int]) -> None:
    """Counted later, number and sum are exact, and so are the buckets unless they are straddled."""
    stamps, exact, kept = Stamps.of(timestamps), Tally(BOUNDS), Tally(BOUNDS)
    exact.add_ages(NOW, stamps)
    spread = stamps.spread()
    assert spread is not None
    kept.add_spread(NOW, spread)

    expected, found = exact.read(), kept.read()
    assert sum(found.counts) == len(timestamps)
    assert abs(found.total - expected.total) < 1e-6
    used = [place for place, count in enumerate(expected.counts) if count]
    assert not any(found.counts[: used[0]])
    assert not any(found.counts[used[-1] + 1 :])
    if len(used) == 1:
        assert found.counts == expected.counts


@given(st.lists(st.floats(0, 100)))
def test_values_are_counted_into_buckets_up_to_their_bound(values: list[float]) -> None:
    """A value is counted in the bucket of the first bound that it does not exceed."""
    tally = Tally(BOUNDS)
    for value in values:
        tally.add(value)

    assert tally.read().cumulated() == [
        *(sum(value <= bound for value in values) for bound in BOUNDS),
        len(values),
    ]


def test_an_exemplar_stays_with_its_bucket() -> None:
    """Each bucket keeps the latest exemplar that belongs into it."""
    tally = Tally(BOUNDS)
    old, new, slow = (Exemplar(value, 1.0, "t", "s") for value in (0.05, 0.07, 90.0))
    for each in (old, slow, new):
        tally.exemplify(each)

    assert tally.read().exemplars == {1: new, 4: slow}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1_000))))
def test_phases_add_up_to_the_time_that_has_passed(steps: list[tuple[str, int]]) -> None:
    """Whatever phases follow each other, they add up to wall-clock time."""
    clock = Clock(100.0)
    phases = PhaseClock("abc", clock)
    for phase, passes in steps:
        phases.enter(phase)
        clock.now += passes

    found = phases.read()
    assert sum(found.values()) == clock.now - 100.0
    assert found["a"] == sum(passes for phase, passes in steps if phase == "a")


def test_the_largest_of_late_is_forgotten_after_a_while() -> None:
    """A maximum counts for at least its time and is forgotten after twice that."""
    clock = Clock()
    largest = SlidingMaximum(60.0, clock)
    largest.add(5.0)
    clock.now = 59.0
    assert largest.read() == 5.0
    clock.now = 100.0
    largest.add(2.0)
    assert largest.read() == 5.0
    clock.now = 170.0
    assert largest.read() == 2.0
    clock.now = 400.0
    assert largest.read() == 0.0
