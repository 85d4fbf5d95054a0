"""The search for records whose output the broker refuses."""

from __future__ import annotations

from collections import Counter
from math import log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanternpipe.records import TopicPartition
from lanternpipe.runtime.culprit import ABORTS_BEFORE_SEARCH, CulpritSearch
from lanternpipe.testing.fake_broker import Stored, run_of
from tests.unit.worlds import PARTITIONS, World

HERE, THERE = TopicPartition("in", 0), TopicPartition("in", 1)


def searching(first: int = 0, records: int = 8) -> CulpritSearch:
    """Return a search that has just begun."""
    search = CulpritSearch()
    for _ in range(ABORTS_BEFORE_SEARCH):
        search.refused("INVALID_RECORD", {HERE: (first, first + records)}, records)
    return search


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(range(PARTITIONS)), min_size=60, max_size=200),
    st.sets(st.integers(0, 59), max_size=4),
    st.sampled_from([5, 32, 200]),
)
def test_exactly_the_bad_ones_are_condemned(
    places: list[int], bad: set[int], batch_records: int
) -> None:
    """The search ends, finds the bad records and no others, and costs O(k log n) transactions."""
    world = World(most=batch_records)
    world.source.run_length = 20
    for index, number in enumerate(places):
        world.append(number, ["bad" if index in bad else "good"])
    world.play([])
    condemned = {each.value for each in world.broker.written if each.topic == "words.dlq"}
    values = {stored.value for log in world.broker.logs.values() for stored in log if stored}
    assert condemned == {value for value in values if value and value.startswith(b"bad")}
    assert Counter(each.value for each in world.broker.written) == Counter(values)
    found, count = len(condemned), len(places)
    batches = count / min(batch_records, 60) + PARTITIONS
    assert world.broker.begun <= 2 * batches + found * (3 * log2(count + 1) + 4)
    assert not world.searched, "the search does not end"


def test_one_refusal_is_not_yet_a_search() -> None:
    """A single refusal may be chance: the same work is simply done again."""
    search = CulpritSearch()
    search.refused("INVALID_RECORD", {HERE: (0, 8)}, 8)
    assert search.limit is None


def test_refusals_elsewhere_are_not_added_up() -> None:
    """Refusals at different positions are no reason to search."""
    search = CulpritSearch()
    search.refused("INVALID_RECORD", {HERE: (0, 8)}, 8)
    search.refused("INVALID_RECORD", {HERE: (8, 16)}, 8)
    assert search.limit is None


def test_a_commit_between_refusals_starts_the_count_anew() -> None:
    """Once a partition has got on, refusals on it count anew."""
    search = CulpritSearch()
    search.refused("INVALID_RECORD", {HERE: (0, 8)}, 8)
    search.committed({HERE: 5})
    search.refused("INVALID_RECORD", {HERE: (0, 8)}, 8)
    assert search.limit is None


def test_several_partitions_with_refused_outputs_are_searched() -> None:
    """The client goes on with another partition after an abort; refusals still add up."""
    search = CulpritSearch()
    for partition in (HERE, THERE, HERE):
        assert search.limit is None
        search.refused("INVALID_RECORD", {partition: (0, 8)}, 8)
    assert search.limit == 4


def test_healthy_partitions_do_not_hide_a_refused_one() -> None:
    """Commits elsewhere do not reset what is counted for a partition."""
    search = CulpritSearch()
    search.refused("INVALID_RECORD", {HERE: (0, 8)}, 8)
    search.committed({THERE: 5})
    search.refused("INVALID_RECORD", {HERE: (0, 8)}, 8)
    assert search.limit == 4


def test_the_stretch_is_halved_down_to_one() -> None:
    """Each further refusal halves what the next transaction may hold."""
    search, limits = searching(records=8), list[int | None]()
    while search.limit != 1:
        limits.append(search.limit)
        search.refused("INVALID_RECORD", {HERE: (0, search.limit or 0)}, search.limit or 0)
    assert limits == [4, 2]


def test_what_is_refused_alone_is_condemned_with_the_code() -> None:
    """A record that is refused alone is condemned, until it has been committed."""
    search = searching(first=3, records=1)
    run = run_of(HERE, [(offset, Stored(b"v")) for offset in (2, 3, 4)])
    assert search.verdicts(run) == {3: "INVALID_RECORD"}
    search.committed({HERE: 4})
    assert search.verdicts(run) == {}


def test_the_search_ends_behind_the_stretch() -> None:
    """When all of the stretch is committed, transactions are as large as ever."""
    search = searching(records=8)
    search.committed({HERE: 4})
    assert search.limit == 8
    search.committed({HERE: 8})
    assert search.limit is None


@pytest.mark.parametrize("gone", [True, False])
def test_a_search_ends_with_its_partition(gone: bool) -> None:
    """A partition that is taken away takes the search in it along, and no other."""
    search = searching(first=0, records=1)
    search.dropped([HERE if gone else THERE])
    assert (search.limit is None) is gone
    assert bool(search.verdicts(run_of(HERE, [(0, Stored(b"v"))]))) is not gone
