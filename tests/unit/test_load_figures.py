"""What a load counts: latencies, seconds and slopes."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.latencies import Latencies, of_text
from loadtest.slope import slope
from loadtest.tally import COUNTS, LATENCIES, Second, Tally


@given(st.lists(st.integers(0, 10**7), min_size=1), st.floats(0.001, 1))
def test_percentile(values: list[int], share: float) -> None:
    """A percentile is a value that was there, rounded up to at least three digits."""
    latencies = Latencies()
    latencies.add(values)
    ordered = sorted(values)
    exact = next(v for at, v in enumerate(ordered, 1) if at >= share * len(ordered))
    found = latencies.percentile(share)
    assert found is not None
    assert exact <= found <= exact * 1.01


def test_no_latencies() -> None:
    """Where nothing was seen, there is no percentile."""
    assert Latencies().percentile(0.99) is None


def test_clocks_that_differ() -> None:
    """What seems to come before it was sent counts as taking no time."""
    latencies = Latencies()
    latencies.add([-5, -1, 0])
    assert latencies.counts == {0: 3}


@given(st.lists(st.integers(0, 10**6)), st.lists(st.integers(0, 10**6)))
def test_latencies_add_up(ones: list[int], others: list[int]) -> None:
    """Latencies of two processes are as if one had counted them, also by way of JSON."""
    one, other, both = Latencies(), Latencies(), Latencies()
    one.add(ones)
    other.add(others)
    both.add(ones + others)
    one.merge(of_text(json.loads(json.dumps(dict(other.counts)))))
    assert one.counts == both.counts


SECONDS = st.builds(
    lambda counts, values: Second.of_json(
        dict(zip(COUNTS, counts, strict=False))
        | {name: {str(v): 1 for v in values} for name in LATENCIES}
    ),
    st.lists(st.integers(0, 1_000), max_size=len(COUNTS)),
    st.lists(st.integers(0, 2_000), max_size=5),
)
TALLIES = st.dictionaries(st.integers(0, 5), SECONDS, max_size=4).map(Tally)


@given(TALLIES)
def test_tally_goes_over_the_wire(tally: Tally) -> None:
    """What a worker tells is what its master reads."""
    told = tally.as_json()
    assert Tally.of_json(json.loads(json.dumps(told))).as_json() == told


@given(TALLIES, TALLIES)
def test_tallies_add_up(one: Tally, other: Tally) -> None:
    """Counts of two processes add up by second."""
    whole = Tally()
    whole.merge(one)
    whole.merge(other)
    for name in COUNTS:
        assert whole.total(name) == one.total(name) + other.total(name)


def test_taken_is_forgotten() -> None:
    """What was told is not told again."""
    tally = Tally()
    tally[1].sent = 3
    assert tally.taken() == {"1": {"sent": 3}}
    assert tally.taken() == {}


@pytest.mark.parametrize("per_hour", [0.0, 12.0, -3.0])
def test_slope(per_hour: float) -> None:
    """The slope is as close to the truth as it says, also where neighbours resemble each other."""
    rng = random.Random(1)
    noise, points = 0.0, []
    for second in range(1_800):
        noise = 0.95 * noise + rng.gauss(0, 0.2)
        points.append((second / 3_600, 180 + per_hour * second / 3_600 + noise))
    found = slope(points)
    assert abs(found.per_unit - per_hour) < 2 * found.confidence
    assert 0.1 < found.confidence < 10


def test_slope_of_little() -> None:
    """A few points say nothing."""
    assert slope([(0, 1), (1, 2)]).confidence == float("inf")
