"""The open work: how it becomes final or undone, and what is waited for."""

from __future__ import annotations

import pytest

from lanternpipe.errors import FatalFailure
from lanternpipe.records import Records, TopicPartition
from lanternpipe.runtime.commit import WorkLostError
from lanternpipe.runtime.plan import Plan
from lanternpipe.runtime.work import FIRST_PAUSE, LONGEST_PAUSE, Work
from lanternpipe.testing.fake_broker import Stored, run_of
from tests.unit.worlds import World

HERE, THERE, _ = World().partitions


def run(*offsets: int, at: TopicPartition = HERE) -> Records:
    """Return good records with these offsets."""
    return run_of(at, [(offset, Stored(b"good:0:%d" % offset)) for offset in offsets])


def working(*offsets: int) -> tuple[World, Work]:
    """Return work in which records with these offsets have been handed out and sent."""
    world = World()
    work = world.processor.work
    work.start()
    work.positions.assign([HERE, THERE])
    world.source.assigned.update({HERE: 0, THERE: 0})
    if offsets and (fresh := work.admit(run(*offsets))):
        work.send(fresh, Plan(processed=len(fresh)))
    return world, work


def test_the_ledger_counts_at_commit() -> None:
    """A delivery counts as processed when it is committed, and as in flight until then."""
    _, work = working(0, 1)
    assert (work.outcomes.consumed, work.positions.in_flight()) == (2, 2)
    assert work.outcomes.totals()["processed"] == 0
    work.commit()
    assert (work.outcomes.totals()["processed"], work.positions.in_flight()) == (2, 0)


def test_undone_work_is_abandoned_not_processed() -> None:
    """Deliveries of undone work count as abandoned with the cause, and their outcomes do not."""
    _, work = working(0, 1)
    work.undo(WorkLostError("ILLEGAL_GENERATION"))
    work.commit()
    assert work.outcomes.counted == {("abandoned", "ILLEGAL_GENERATION"): 2}


def test_dead_letters_of_undone_work_are_told_once() -> None:
    """Dead letters whose work is undone come again, and are told when they are committed."""
    world = World()
    world.play(
        [
            [("append", 0, ["poison"]), ("assign", 0, False)],
            [("fault", "commit", "abortable", False)],
        ]
    )
    assert len(world.log.named("work_undone")) == 1
    assert [line["records"] for line in world.log.named("records_dead_lettered")] == [1]


def test_duplicates_are_counted_and_not_worked_on() -> None:
    """A record that is handed out again is dropped, and the ledger knows it."""
    _, work = working(0, 1)
    again = work.admit(run(1, 2))
    assert again is not None
    assert again.offsets == [2]
    assert work.admit(run(0)) is None
    assert work.outcomes.totals()["duplicate"] == 2


def test_records_of_others_and_of_before_a_rewind_are_left_alone() -> None:
    """Records of a partition that is not ours, or is about to be rewound, do not count."""
    world, work = working(0, 1)
    work.undo(WorkLostError("ILLEGAL_GENERATION"))
    consumed = work.outcomes.consumed
    assert work.admit(run(2)) is None
    assert work.admit(run(0, at=TopicPartition("in", 9))) is None
    assert work.outcomes.consumed == consumed
    world.steer()
    assert work.admit(run(0)) is not None


def test_a_seek_is_tried_until_it_succeeds() -> None:
    """During a rebalance a partition cannot be moved; it is moved later."""
    world, work = working(4, 5)
    world.source.busy = 1
    work.undo(WorkLostError("ILLEGAL_GENERATION"))
    world.steer()
    assert world.source.assigned[HERE] == 0
    world.steer()
    assert world.source.assigned[HERE] == 4


def test_one_loss_is_made_good_at_once_and_more_are_not() -> None:
    """Losses in a row are answered by ever longer pauses, up to a limit; a commit ends the row."""
    world, work = working(0)
    for _ in range(9):
        work.undo(WorkLostError("NOT_ENOUGH_REPLICAS"))
    assert world.pauses[0] == FIRST_PAUSE * 4
    assert world.pauses == sorted(world.pauses)
    assert (len(world.pauses), world.pauses[-1]) == (8, LONGEST_PAUSE)
    world.steer()
    work.admit(run(0))
    work.commit()
    work.undo(WorkLostError("NOT_ENOUGH_REPLICAS"))
    assert len(world.pauses) == 8


def test_losses_in_a_row_become_an_error() -> None:
    """Work that is lost now and then is normal in a rebalance, again and again it is not."""
    world, work = working(0)
    for _ in range(4):
        work.undo(WorkLostError("NOT_ENOUGH_REPLICAS"))
    levels = [level for level, event, _ in world.log.lines if event == "work_undone"]
    assert levels == ["warning", "warning", "warning", "error"]


def test_losses_may_go_on_for_hours() -> None:
    """However often work is lost in a row, the process goes on trying."""
    world, work = working(0)
    for _ in range(2_000):
        work.undo(WorkLostError("NOT_ENOUGH_REPLICAS"))
    assert world.pauses[-1] == LONGEST_PAUSE


def test_a_refused_dead_letter_does_not_spin() -> None:
    """When even the dead letter of a condemned record is refused, it is not tried without end."""
    world, work = working(0)

    def refuse() -> None:
        work.undo(WorkLostError("INVALID_RECORD", refused=True))
        world.steer()
        work.admit(run(0))

    refuse()
    refuse()
    with pytest.raises(FatalFailure, match="dead letter for in/0/0 is refused as well"):
        refuse()


def test_only_partitions_with_records_are_condemned() -> None:
    """A partition of which a refused transaction held an end alone is not held guilty for it."""
    world, work = working(0)
    world.broker.group[THERE] = 1

    work.reach_ends([(THERE, 2)])
    for _ in range(2):
        work.undo(WorkLostError("INVALID_RECORD", refused=True))
        world.steer()
        work.admit(run(0))
        work.reach_ends([(THERE, 2)])
    assert work.culprits.verdicts(run(0)) == {0: "INVALID_RECORD"}
    assert work.culprits.verdicts(run(1, at=THERE)) == {}


def test_waits_no_longer_than_until_a_commit_is_due() -> None:
    """With nothing open the loop may wait as long as it likes, and with work until its commit."""
    world, work = working()
    world.interval.seconds = 3_600.0
    assert work.seconds_until_due(0.1) == 0.1
    work.admit(run(0))
    assert work.seconds_until_due(0.1) == 0.1
    assert 3_000 < work.seconds_until_due(1e9) <= 3_600
    world.interval.seconds = 0.0
    assert work.seconds_until_due(0.1) == 0


def test_commits_when_due_and_not_before() -> None:
    """A turn of the loop commits if it is time, and else leaves the work open."""
    world, work = working(0)
    world.interval.seconds = 3_600.0
    work.commit_if_due(full=False)
    assert world.broker.group == {}
    world.interval.seconds = 0.0
    work.commit_if_due(full=False)
    assert world.broker.group == {HERE: 1}


@pytest.mark.parametrize("full", [True, False])
def test_full_batches_tell_that_it_is_behind(full: bool) -> None:
    """The interval learns that the loop is behind when most batches were full."""
    world, work = working(0)
    work.commit_if_due(full=full)
    assert world.interval.behind == [full]


def test_a_searched_transaction_is_committed_as_soon_as_it_is_full() -> None:
    """While a culprit is searched, transactions hold as many records as it says and no more."""
    world, work = working(0)
    world.interval.seconds = 3_600.0
    assert work.room(100) == 100
    work.culprits.limit = 2
    assert work.room(100) == 1
    work.admit(run(1))
    assert work.room(100) == 1
    work.commit_if_due(full=False)
    assert world.broker.group == {HERE: 2}


def test_what_goes_takes_its_work_along() -> None:
    """A partition that goes leaves neither a seek nor records in flight behind."""
    world, work = working(0, 1)
    work.let_go([HERE])
    assert work.outcomes.counted == {("abandoned", "revoked"): 2}
    world.steer()
    assert work.positions.uncommitted() == {}
