"""Where each partition stands: never beyond what was handed out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lanternpipe.records import Records, TopicPartition
from lanternpipe.runtime.positions import Position, Positions
from lanternpipe.testing.fake_broker import Stored, run_of

PARTITIONS = [TopicPartition("in", number) for number in range(2)]
HERE, THERE = PARTITIONS
PARTITION = st.sampled_from(PARTITIONS)


def run(*offsets: int, at: TopicPartition = HERE) -> Records:
    """Return records with these offsets, each as old as its offset says."""
    return run_of(at, [(offset, Stored(b"v", timestamp=1_000 + offset)) for offset in offsets])


def standing(*offsets: int) -> Positions:
    """Return positions at which records with these offsets have been handed out."""
    positions = Positions()
    positions.assign(PARTITIONS)
    if offsets:
        positions.advance(positions.admit(run(*offsets)))
    return positions


@dataclass
class Model:
    """What a partition should be: where work begins, where it ends, and what is in it."""

    first: int | None = None
    behind: int | None = None
    committed: int | None = None
    given: int = 0


class PositionsMachine(RuleBasedStateMachine):
    """Compares ``Positions`` with a model, whatever happens in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = Positions()
        self.model: dict[TopicPartition, Model] = {}

    @rule(at=PARTITION)
    def assign(self, at: TopicPartition) -> None:
        """A partition comes; what was known of it is forgotten."""
        if at not in self.model:
            self.positions.assign([at])
            self.model[at] = Model()

    @rule(at=PARTITION)
    def drop(self, at: TopicPartition) -> None:
        """A partition goes, with what was in flight."""
        assert self.positions.drop([at]) == self.model.pop(at, Model()).given

    @rule(at=PARTITION, offset=st.integers(0, 30))
    def start(self, at: TopicPartition, offset: int) -> None:
        """A partition is told where to begin."""
        if at in self.model and self.model[at].behind is None:
            self.positions.start(at, offset)
            self.model[at].first = self.model[at].behind = offset

    @rule(at=PARTITION, offsets=st.lists(st.integers(0, 40), min_size=1, max_size=6))
    def hand_out(self, at: TopicPartition, offsets: list[int]) -> None:
        """Records come, perhaps twice, with gaps, or out of order."""
        if at not in self.model:
            return
        model, expected = self.model[at], list[int]()
        for offset in offsets:
            floor = expected[-1] + 1 if expected else model.behind
            if floor is None or offset >= floor:
                expected.append(offset)
        fresh = self.positions.admit(run(*offsets, at=at))
        assert fresh.offsets == expected
        assert fresh.timestamps == [1_000 + offset for offset in expected]
        if expected:
            self.positions.advance(fresh)
            model.first = expected[0] if model.first is None else model.first
            model.behind = expected[-1] + 1
            model.given += len(expected)

    @rule(at=PARTITION, offset=st.integers(0, 45))
    def reach_end(self, at: TopicPartition, offset: int) -> None:
        """The end of a partition is reached; only what lies ahead counts."""
        self.positions.reach_end(at, offset)
        model = self.model.get(at)
        if model and (model.behind is None or offset > model.behind):
            model.behind = offset
            model.first = offset if model.first is None else model.first

    @rule()
    def commit(self) -> None:
        """All that is open becomes final, and nothing but that."""
        offsets = self.positions.uncommitted()
        assert offsets == {
            at: each.behind
            for at, each in self.model.items()
            if each.behind is not None and each.behind != each.committed
        }
        self.positions.note_commit(offsets)
        for at, offset in offsets.items():
            self.model[at] = Model(offset, offset, offset)

    @rule()
    def rewind(self) -> None:
        """All that is open is thrown away, and will be read again from where it began."""
        targets, abandoned = self.positions.rewind()
        assert abandoned == sum(each.given for each in self.model.values())
        assert targets == {
            at: each.first for at, each in self.model.items() if each.first != each.behind
        }
        for each in self.model.values():
            each.behind, each.given = each.first, 0

    @rule(at=PARTITION, offset=st.integers(0, 30))
    def learn(self, at: TopicPartition, offset: int) -> None:
        """The broker tells what is committed; it counts only where nothing has been seen."""
        unknown = self.positions.unknown(PARTITIONS)
        assert unknown == [
            each for each in PARTITIONS if each in self.model and self.model[each].behind is None
        ]
        self.positions.know_committed({at: offset})
        if at in unknown:
            self.model[at] = Model(offset, offset, offset)

    @invariant()
    def agree(self) -> None:
        """Next offset, resume point and records in flight are those of the model."""
        snapshot = self.positions.snapshot()
        assert {
            at: (each.next, each.resume, each.committed, each.in_flight)
            for at, each in snapshot.items()
        } == {
            at: (each.behind, each.first, each.committed, each.given)
            for at, each in self.model.items()
        }
        assert self.positions.in_flight() == sum(each.given for each in self.model.values())


TestPositions = PositionsMachine.TestCase
TestPositions.settings = settings(max_examples=150, deadline=None)


@given(st.lists(st.integers(0, 20), min_size=1), st.integers(0, 20))
def test_duplicates_are_dropped(offsets: list[int], position: int) -> None:
    """Of records handed out twice one is admitted, and none from below the position."""
    positions = standing()
    positions.start(HERE, position)
    fresh = positions.admit(run(*offsets)).offsets
    assert all(offset >= position for offset in fresh)
    assert fresh == sorted(set(fresh))


def test_gaps_are_normal() -> None:
    """Offsets that are missing, as after compaction, neither stop nor shift a commit."""
    assert standing(3, 7, 20).uncommitted() == {HERE: 21}


def test_nothing_is_committed_before_anything_was_seen() -> None:
    """A partition of which nothing is known is not part of a commit."""
    assert standing().uncommitted() == {}


def test_a_rewind_before_the_first_commit_returns_to_the_first_record() -> None:
    """Where nothing was committed, work begins again with the first record handed out."""
    positions = standing(5, 6)
    assert positions.rewind() == ({HERE: 5}, 2)
    assert positions.admit(run(5, 6)).offsets == [5, 6]


def test_the_broker_has_the_last_word() -> None:
    """After a doubtful commit a partition stands where the broker says."""
    positions = standing(5, 6)
    positions.resume_at({HERE: 7, TopicPartition("in", 9): 1})
    assert positions.uncommitted() == {}
    assert positions.admit(run(5, 6, 7)).offsets == [7]


def test_touched_is_the_stretch_of_open_work() -> None:
    """Open work is told as first offset and the one behind the last, per partition."""
    positions = standing(5, 9)
    assert positions.touched() == {HERE: (5, 10)}
    positions.note_commit({HERE: 10})
    assert positions.touched() == {}


@pytest.mark.parametrize("again", [False, True], ids=["committed", "rewound"])
def test_age_is_that_of_the_oldest_in_flight(again: bool) -> None:
    """The oldest timestamp is kept while work is open, and forgotten when none is."""
    positions = standing(5, 6)
    positions.advance(positions.admit(run(7)))
    position = positions.snapshot()[HERE]
    assert (position.oldest_ms, position.newest_ms) == (1_005, 1_007)
    if again:
        positions.rewind()
    else:
        positions.note_commit(positions.uncommitted())
    assert position.oldest_ms == 0


def test_a_rewind_forgets_how_new_the_undone_work_was() -> None:
    """What is to be read again counts as not yet seen; an end that was reached changes nothing."""
    positions = standing(5, 7)
    positions.rewind()
    assert positions.snapshot()[HERE].newest_ms == 1_005
    positions = standing(5)
    positions.note_commit(positions.uncommitted())
    positions.reach_end(HERE, 9)
    positions.rewind()
    assert positions.snapshot()[HERE].newest_ms == 1_005


def test_a_snapshot_is_safe_against_rebalances() -> None:
    """A thread that looks at a snapshot is not disturbed by partitions that go."""
    positions = standing(1)
    snapshot = positions.snapshot()
    positions.drop(PARTITIONS)
    assert list(snapshot) == PARTITIONS
    assert HERE not in positions


class Rebalancing(Position):
    """A position at whose sight other partitions come, as when another thread runs."""

    @property
    def in_flight(self) -> int:  # type: ignore[override]
        """Let a partition come."""
        self.positions.assign([TopicPartition("in", 9)])
        return 5

    def __init__(self, positions: Positions) -> None:
        self.positions = positions


def test_records_in_flight_can_be_asked_for_during_a_rebalance() -> None:
    """A scrape that asks while partitions come gets an answer."""
    positions = Positions()
    positions._by_partition[HERE] = Rebalancing(positions)
    assert positions.in_flight() == 5
