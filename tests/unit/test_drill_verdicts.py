"""The drill goes red on loops that are wrong: each here breaks one rule of the real one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest

from lanternpipe.records import Outgoing, Records, TopicPartition
from lanternpipe.runtime.acknowledged import AtLeastOnce
from lanternpipe.runtime.commit import ExactlyOnce, WorkLostError
from lanternpipe.runtime.positions import Positions
from lanternpipe.runtime.process import Processor
from lanternpipe.testing import Drill, DrillError
from lanternpipe.testing.fake_broker import FakeBroker, flatten
from lanternpipe.testing.life import Parts
from tests.unit.notes import Heard, Note, busy_drill, drill_of

Offsets = Mapping[TopicPartition, int]


class CommitsFirst(ExactlyOnce):
    """Commits the offsets, and sends what belongs to them into the next transaction."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self._kept: list[Outgoing] = []

    def send(self, batch: Outgoing) -> None:
        """Wait with it."""
        self._kept.append(batch)

    def commit(self, offsets: Offsets) -> None:
        """Commit, then send."""
        super().commit(offsets)
        for batch in self._kept:
            super().send(batch)
        self._kept.clear()


class GoesOnAfterAborts(ExactlyOnce):
    """Does not tell the loop that its work was lost, so that nothing is read again."""

    def commit(self, offsets: Offsets) -> None:
        """Take a failure for a success."""
        with contextlib.suppress(WorkLostError):
            super().commit(offsets)


class WritesOutside(ExactlyOnce):
    """Writes outputs without a transaction."""

    def send(self, batch: Outgoing) -> None:
        """Make it visible at once."""
        broker: FakeBroker = self._sink._broker  # type: ignore[attr-defined]
        broker.store(flatten(batch), {})


class CommitsBeyond(ExactlyOnce):
    """Commits one record more than was sent."""

    def commit(self, offsets: Offsets) -> None:
        """Add one."""
        super().commit({at: offset + 1 for at, offset in offsets.items()})


class CommitsLess(ExactlyOnce):
    """Leaves the last record of each commit to the next one, though it was sent."""

    def commit(self, offsets: Offsets) -> None:
        """Take one away."""
        super().commit({at: max(0, offset - 1) for at, offset in offsets.items()})


class SendsTwice(ExactlyOnce):
    """Sends everything two times."""

    def send(self, batch: Outgoing) -> None:
        """Send, and send."""
        super().send(batch)
        super().send(batch)


class SendsBackwards(ExactlyOnce):
    """Turns the order of outputs around."""

    def send(self, batch: Outgoing) -> None:
        """Reverse every column."""
        keys, values, stamps = batch.keys[::-1], batch.values[::-1], batch.timestamps[::-1]
        super().send(Outgoing(batch.topic, keys, values, stamps, (batch.headers or [])[::-1]))


class LosesLetters(ExactlyOnce):
    """Sends no dead letters."""

    def send(self, batch: Outgoing) -> None:
        """Send outputs only."""
        if not batch.topic.endswith(".dlq"):
            super().send(batch)


class NoSecondThoughts(Positions):
    """Takes what is delivered twice for new."""

    def admit(self, records: Records) -> Records:
        """Drop nothing."""
        return records


class TakesDuplicates(Processor):
    """Does not drop what the client delivers again."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.work.positions = NoSecondThoughts()


class NeverGivesBack(Processor):
    """Reads on after its work was undone."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._steering.move = lambda targets: None  # type: ignore[method-assign]


class KeepsLostWork(Processor):
    """Does not undo what it had open when its partitions were lost."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.work.abort = lambda cause: None  # type: ignore[method-assign]


class SaysLateWhoItIs(ExactlyOnce):
    """Takes its place in the group at commit, so that a zombie passes for its successor."""

    def commit(self, offsets: Offsets) -> None:
        """Take it, then commit."""
        self._begin()
        self._metadata = self._source.group_metadata()
        super().commit(offsets)


class CommitsUnsent(AtLeastOnce):
    """Commits offsets without waiting for acknowledgements."""

    def _flush(self) -> int:
        return 0


def three(parts: Parts) -> Drill[Note, Heard]:
    """Return a drill with three notes of one user."""
    return drill_of("say a", "say b", "say c", parts=parts)


@pytest.mark.parametrize(
    ("wrong", "anomaly"),
    [
        (CommitsFirst, r"lost-write: notes/\d/0 is committed, and nothing of it was written"),
        (WritesOutside, r"precommitted-read: notes/\d/0 was written before it is committed"),
        (CommitsBeyond, r"lost-write: notes/\d is committed up to 4, behind its end"),
        (CommitsLess, r"precommitted-read: notes/\d/2 was written before it is committed"),
        (SendsTwice, r"duplicate: notes/\d/0 was written more than once"),
        (SendsBackwards, r"reordering: heard got what notes/\d/1 became behind that of notes/\d/2"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_loop_that_is_always_wrong_is_found_at_once(
    wrong: type[ExactlyOnce], anomaly: str
) -> None:
    """A quiet drill finds it, and says which record it hit."""
    with pytest.raises(DrillError, match=anomaly):
        three(Parts(exactly_once=wrong)).run()


def test_a_position_beyond_what_was_sent_is_found() -> None:
    """Committed behind the work, with more records there, is a loss, too."""
    drill = drill_of(
        *(f"say {number}" for number in range(9)),
        parts=Parts(exactly_once=CommitsBeyond),
        runtime={"batch_records": 3},
    )
    with pytest.raises(DrillError, match=r"lost-write: notes/\d/3 .* was never processed"):
        drill.run()


def test_lost_letters_are_found() -> None:
    """What should have become a dead letter and did not is lost."""
    drill = drill_of("say a", "reject", parts=Parts(exactly_once=LosesLetters))
    with pytest.raises(DrillError, match=r"lost-write: notes/\d/1 is committed, and nothing"):
        drill.run()


def test_a_loop_that_goes_on_after_an_abort_is_found() -> None:
    """What was aborted and is not read again is lost."""
    drill = three(Parts(exactly_once=GoesOnAfterAborts))
    drill.fail("commit", "abortable")
    with pytest.raises(DrillError, match=r"lost-write|not processed within"):
        drill.run()


def test_a_loop_that_does_not_rewind_is_found() -> None:
    """Without the way back, the records of an aborted transaction are missing."""
    drill = three(Parts(processor=NeverGivesBack))
    drill.fail("commit", "abortable")
    with pytest.raises(DrillError, match=r"lost-write|not processed within"):
        drill.run()


def test_a_duplicate_that_is_not_dropped_is_found() -> None:
    """What the client delivers again must not be written again."""
    drill = three(Parts(processor=TakesDuplicates))
    drill.duplicate(2)
    with pytest.raises(DrillError, match="all is committed, and 2 deliveries are worked on once"):
        drill.run()
    drill.send(Note("ann", "say d"))
    with pytest.raises(DrillError, match=r"duplicate: notes/\d/1 was final, and was written once"):
        drill.run()


def test_offsets_before_acknowledgements_are_found() -> None:
    """At least once, too: what is committed must have been written."""
    drill = drill_of("say a", delivery="at-least-once", parts=Parts(at_least_once=CommitsUnsent))
    with pytest.raises(DrillError, match=r"lost-write: notes/\d/0 is committed, and nothing"):
        drill.run()


def outcome_of_storm(seed: int, parts: Parts) -> str:
    """Return what a storm has found; nothing where all went well."""
    try:
        busy_drill(parts=parts).storm(seed)
    except DrillError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "parts",
    [
        Parts(exactly_once=GoesOnAfterAborts),
        Parts(processor=NeverGivesBack),
        Parts(processor=KeepsLostWork, exactly_once=SaysLateWhoItIs),
        Parts(processor=TakesDuplicates),
    ],
    ids=["goes on", "never gives back", "keeps lost work", "takes duplicates"],
)
def test_a_loop_that_is_wrong_when_something_fails_is_found_by_storms(parts: Parts) -> None:
    """Few storms are enough, without knowing what to look for."""
    found = [error for seed in range(20) if (error := outcome_of_storm(seed, parts))]
    assert len(found) >= 3, f"found by {len(found)} of 20 storms"


def test_the_message_tells_what_happened() -> None:
    """Who reads it knows the seed, the turn and what was planned."""
    drill = drill_of("say a", "say b", parts=Parts(exactly_once=SendsTwice), seed=4)
    drill.crash("before_send")
    with pytest.raises(DrillError) as caught:
        drill.run()
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert lines[0] == "this went wrong:"
    assert "until turn 4 of Drill(seed=4):" in lines
    assert lines[-2:] == ["turn 0: planned: crash('before_send')", "turn 2: the process died"]
