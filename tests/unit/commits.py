"""A committer with the fakes around it, and the errors that it may meet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lanternpipe.errors import (
    AbortableFailure,
    FatalFailure,
    FencedFailure,
    KafkaFailure,
    RetriableFailure,
)
from lanternpipe.records import Outgoing, TopicPartition
from lanternpipe.runtime.commit import ExactlyOnce, WorkLostError
from lanternpipe.runtime.watchdog import Deadline
from lanternpipe.testing.fake_broker import FakeBroker
from lanternpipe.testing.fake_sink import FakeSink
from lanternpipe.testing.fake_source import FakeSource

HERE = TopicPartition("in", 0)


def batch(*values: bytes) -> Outgoing:
    """Return records to be sent."""
    return Outgoing("out", [b"k"] * len(values), [*values], [0] * len(values))


def retriable() -> KafkaFailure:
    """Return an error after which the same call may be made again."""
    return RetriableFailure("COORDINATOR_LOAD_IN_PROGRESS", "asking")


def doubtful() -> KafkaFailure:
    """Return an error after which nobody knows whether the call was carried out."""
    return RetriableFailure("_TIMED_OUT", "asking", indefinite=True)


def abortable() -> KafkaFailure:
    """Return an error after which the transaction must be aborted."""
    return AbortableFailure("ILLEGAL_GENERATION", "asking")


def fenced() -> KafkaFailure:
    """Return an error of a producer that has been replaced, or was too late."""
    return FencedFailure("PRODUCER_FENCED", "asking")


def fatal() -> KafkaFailure:
    """Return an error after which nothing goes."""
    return FatalFailure("_FATAL", "asking")


class Looking(Deadline):
    """A deadline whose thread looks so many times during each call.

    Attributes:
        frozen: How long the process has stood still, in seconds.
    """

    frozen = 0.0

    def __init__(self, looks: int) -> None:
        super().__init__(60.0)
        self._looks_per_call = looks

    def __enter__(self) -> None:
        """Let time pass."""
        self.looks += self._looks_per_call


class Bench:
    """An exactly-once committer with the fakes around it."""

    def __init__(self, *, shared: bool = False, looks_per_call: int = 0) -> None:
        self.broker = FakeBroker.with_partitions(1)
        self.broker.refuses = lambda each: each.value == b"bad"
        self.source, self.sink = FakeSource(self.broker), FakeSink(self.broker)
        self.waits: list[str] = []
        self.deadline = Looking(looks_per_call)
        self.committer = ExactlyOnce(
            self.sink,
            self.source,
            deadline=self.deadline,
            id_is_shared=shared,
            waiting=self.waits.append,
        )
        self.committer.start()
        self.broker.calls.clear()

    @property
    def calls(self) -> list[str]:
        """Return the names of all calls since the start."""
        return self.broker.calls

    @property
    def values(self) -> list[bytes | None]:
        """Return what committed readers see."""
        return [each.value for each in self.broker.written]


def lost(act: Callable[[], object]) -> WorkLostError:
    """Return the error by which ``act`` says that the open work is undone."""
    with pytest.raises(WorkLostError) as caught:
        act()
    return caught.value
