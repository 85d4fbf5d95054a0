"""At least once: offsets are committed when every output has been acknowledged, and no sooner."""

from __future__ import annotations

import pytest

from lanternpipe.errors import AbortableFailure, FatalFailure, RetriableFailure
from lanternpipe.records import Outgoing, TopicPartition
from lanternpipe.runtime.acknowledged import AtLeastOnce
from lanternpipe.runtime.commit import WorkLostError
from lanternpipe.testing.fake_broker import FakeBroker
from lanternpipe.testing.fake_sink import FakePlainSink
from lanternpipe.testing.fake_source import FakeSource
from tests.unit.worlds import DEADLINE

HERE = TopicPartition("in", 0)


def batch(*values: bytes) -> Outgoing:
    """Return records to be sent."""
    return Outgoing("out", [None] * len(values), [*values], [0] * len(values))


class Bench:
    """An at-least-once committer with the fakes around it."""

    def __init__(self) -> None:
        self.broker = FakeBroker.with_partitions(1)
        self.broker.refuses = lambda each: each.value == b"bad"
        self.sink = FakePlainSink(self.broker)
        self.waits: list[str] = []
        self.committer = AtLeastOnce(
            self.sink, FakeSource(self.broker), deadline=DEADLINE, waiting=self.waits.append
        )
        self.committer.start()

    @property
    def values(self) -> list[bytes | None]:
        """Return what has been acknowledged."""
        return [each.value for each in self.broker.written]


def test_offsets_follow_the_last_acknowledgement() -> None:
    """A commit waits until nothing is without acknowledgement, then commits the offsets."""
    bench = Bench()
    bench.sink.stuck = 2
    bench.committer.send(batch(b"a", b"b"))
    bench.committer.commit({HERE: 2})
    assert bench.broker.calls == ["send", "flush", "flush", "flush", "commit_offsets"]
    assert bench.waits == ["_TIMED_OUT", "_TIMED_OUT"]
    assert (bench.values, bench.broker.group) == ([b"a", b"b"], {HERE: 2})


def test_no_offset_is_committed_over_a_refusal() -> None:
    """When a record was refused nothing is committed, and the loss says whose fault it was."""
    bench = Bench()
    bench.committer.send(batch(b"a", b"bad"))
    with pytest.raises(WorkLostError) as caught:
        bench.committer.commit({HERE: 2})
    assert (caught.value.code, caught.value.refused) == ("INVALID_RECORD", True)
    assert bench.broker.group == {}
    bench.committer.commit({HERE: 1})
    assert bench.broker.group == {HERE: 1}, "a refusal counts once"


def test_an_abort_forgets_refusals() -> None:
    """What was refused before an abort says nothing about the work after it."""
    bench = Bench()
    bench.committer.send(batch(b"bad"))
    bench.committer.abort()
    bench.committer.commit({HERE: 1})
    assert bench.broker.group == {HERE: 1}


def test_a_commit_is_made_again_while_it_may_be() -> None:
    """A retriable error of the commit is waited out."""
    bench = Bench()
    bench.broker.fail("commit_offsets", RetriableFailure("COORDINATOR_NOT_AVAILABLE", "asking"))
    bench.committer.commit({HERE: 1})
    assert bench.waits == ["COORDINATOR_NOT_AVAILABLE"]
    assert bench.broker.group == {HERE: 1}


@pytest.mark.parametrize("call", ["send", "commit_offsets"])
def test_abortable_means_the_work_is_lost(call: str) -> None:
    """When the group has moved on, or a record is refused at once, the work is done again."""
    bench = Bench()
    bench.broker.fail(call, AbortableFailure("ILLEGAL_GENERATION", "asking"))
    with pytest.raises(WorkLostError) as caught:  # noqa: PT012  # whichever raises
        bench.committer.send(batch(b"a"))
        bench.committer.commit({HERE: 1})
    assert (caught.value.code, caught.value.refused) == ("ILLEGAL_GENERATION", False)
    assert bench.broker.group == {}


@pytest.mark.parametrize("call", ["send", "commit_offsets"])
def test_fatal_passes(call: str) -> None:
    """After a fatal error the process ends, and nothing is committed."""
    bench = Bench()
    bench.broker.fail(call, FatalFailure("_FATAL", "asking"))
    with pytest.raises(FatalFailure):  # noqa: PT012  # whichever raises
        bench.committer.send(batch(b"a"))
        bench.committer.commit({HERE: 1})
    assert bench.broker.group == {}


def test_close_gives_the_sink_a_last_chance() -> None:
    """At the end the producer is closed."""
    bench = Bench()
    bench.committer.close(1.0)
    assert bench.broker.calls == ["close"]
