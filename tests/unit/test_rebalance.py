"""What happens to open work when partitions come and go."""

from __future__ import annotations

import pytest

from lanternpipe.errors import FatalFailure
from tests.unit.worlds import FAILURES, World

HERE, THERE, _ = World().partitions


def working() -> World:
    """Return a world in which records of two partitions are sent and not yet committed."""
    world = World()
    world.processor.work.start()
    world.source.subscribe(world.processor._rebalance)
    world.append(0, ["good"] * 3)
    world.append(1, ["good"] * 3)
    world.broker.group = {HERE: 0, THERE: 0}
    world.source.assign(HERE, THERE)
    world.due(False)
    world.processor.step()
    assert world.processor.work.positions.in_flight() == 6
    world.broker.calls.clear()
    return world


def test_ready_with_the_first_assignment() -> None:
    """The first assignment, even an empty one, makes the process ready."""
    world = World()
    world.source.subscribe(world.processor._rebalance)
    world.source.assign()
    assert world.processor._health.ready().ok
    assert world.log.named("partitions_assigned") == [{"partitions": []}]


def test_work_is_committed_before_partitions_go() -> None:
    """What is done is committed while the partitions are still ours, and of all partitions."""
    world = working()
    world.source.revoke(HERE)
    assert world.broker.group == {HERE: 3, THERE: 3}
    assert len(world.broker.written) == 6
    assert list(world.processor.work.positions.snapshot()) == [THERE]
    assert world.log.named("partitions_revoked") == [{"partitions": ["in/0"]}]


def test_partitions_go_even_when_the_commit_fails() -> None:
    """Work that cannot be committed is undone: ours is read again, the others' by the others."""
    world = working()
    world.broker.fail("commit", FAILURES["abortable"]())
    world.source.revoke(HERE)
    assert world.broker.group == {HERE: 0, THERE: 0}
    assert world.broker.written == []
    world.steer()
    assert world.source.assigned == {THERE: 0}


def test_lost_partitions_take_the_open_transaction_along() -> None:
    """After a loss nothing may be committed: another process may own the partitions already."""
    world = working()
    world.source.be_told_of_loss()
    assert world.broker.calls == ["flush", "abort"]
    world.processor.work.commit()
    assert world.broker.calls == ["flush", "abort"]
    assert (world.broker.group, world.broker.written) == ({HERE: 0, THERE: 0}, [])
    assert world.processor.work.outcomes.counted == {("abandoned", "partitions_lost"): 6}
    assert world.processor.work.positions.snapshot() == {}
    assert len(world.log.named("partitions_lost")) == 1


def test_a_process_that_fails_leaves_and_commits_nothing() -> None:
    """After a fatal error the group is left at once, without a commit of what is open."""
    world = working()
    world.broker.fail("commit", FatalFailure("_FATAL", "committing"))
    with pytest.raises(FatalFailure):
        world.processor.work.commit()
    world.broker.calls.clear()
    world.processor.leave()
    assert world.source.closed
    assert world.broker.calls == []
    assert world.broker.group == {HERE: 0, THERE: 0}
