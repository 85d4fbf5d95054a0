"""How work becomes final: what is called, in which order, and what every kind of error leads to."""

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
from tests.fake_clients import FakeSink, FakeSource
from tests.fakes import FakeBroker
from tests.unit.worlds import DEADLINE

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


class Bench:
    """An exactly-once committer with the fakes around it."""

    def __init__(self, *, shared: bool = False) -> None:
        self.broker = FakeBroker.with_partitions(1)
        self.broker.refuses = lambda each: each.value == b"bad"
        self.source, self.sink = FakeSource(self.broker), FakeSink(self.broker)
        self.waits: list[str] = []
        self.committer = ExactlyOnce(
            self.sink,
            self.source,
            deadline=DEADLINE,
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


def test_outputs_and_offsets_in_one_transaction() -> None:
    """A transaction is opened by the first batch and takes all batches and the offsets."""
    bench = Bench()
    bench.committer.send(batch(b"a"))
    bench.committer.send(batch(b"b"))
    assert bench.values == []
    bench.committer.commit({HERE: 2})
    assert bench.calls == ["begin", "send", "send", "send_offsets", "commit", "flush"]
    assert (bench.values, bench.broker.group) == ([b"a", b"b"], {HERE: 2})


def test_offsets_alone_are_committed_too() -> None:
    """Where nothing was sent, as when all was filtered, a transaction takes the offsets alone."""
    bench = Bench()
    bench.committer.commit({HERE: 2})
    assert bench.calls[:3] == ["begin", "send_offsets", "commit"]
    assert bench.broker.group == {HERE: 2}


def test_no_transaction_is_open_between_commits() -> None:
    """After a commit, and after an abort, nothing is open until something is to be sent."""
    bench = Bench()
    bench.committer.commit({HERE: 1})
    bench.committer.send(batch(b"a"))
    bench.committer.abort()
    bench.calls.clear()
    bench.committer.abort()
    assert bench.calls == []
    bench.committer.send(batch(b"b"))
    assert bench.calls == ["begin", "send"]


@pytest.mark.parametrize("error", [retriable, doubtful])
@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("call", ["send_offsets", "commit"])
def test_retriable_means_the_same_call_again(
    call: str, applied: bool, error: Callable[[], KafkaFailure]
) -> None:
    """A call that may be made again is, nothing is aborted and nothing committed twice."""
    bench = Bench()
    for _ in range(3):
        bench.broker.fail(call, error(), applied=applied and error is doubtful)
    bench.committer.send(batch(b"a"))
    bench.committer.commit({HERE: 1})
    assert bench.calls.count(call) == 4
    assert bench.waits == [error().code] * 3
    assert "abort" not in bench.calls
    assert (bench.values, bench.broker.group) == ([b"a"], {HERE: 1})


@pytest.mark.parametrize("call", ["begin", "send", "send_offsets", "commit"])
def test_abortable_means_flush_then_abort(call: str) -> None:
    """An abortable error undoes the work, after a flush, for which the client would die."""
    bench = Bench()
    bench.broker.fail(call, abortable())

    def work() -> None:
        bench.committer.send(batch(b"a"))
        bench.committer.commit({HERE: 1})

    error = lost(work)
    assert (error.code, error.refused, error.ask_broker) == ("ILLEGAL_GENERATION", False, False)
    assert bench.calls[bench.calls.index(call) + 1 :] == ["flush", "flush", "abort"]
    assert (bench.values, bench.broker.group) == ([], {})
    work()
    assert (bench.values, bench.broker.group) == ([b"a"], {HERE: 1})


def test_a_refused_record_is_told_with_the_brokers_code() -> None:
    """When the broker refuses a record for what it is, the loss of work says so."""
    bench = Bench()
    bench.committer.send(batch(b"a", b"bad"))
    error = lost(lambda: bench.committer.commit({HERE: 2}))
    assert (error.code, error.refused, error.ask_broker) == ("INVALID_RECORD", True, False)
    bench.committer.send(batch(b"a"))
    bench.committer.commit({HERE: 1})
    assert bench.values == [b"a"]


@pytest.mark.parametrize("call", ["send_offsets", "commit", "abort"])
def test_doubt_means_a_new_producer_before_the_next_transaction(call: str) -> None:
    """After a call whose outcome was unknown the client is replaced and initialised anew."""
    bench = Bench()
    bench.broker.fail(call, doubtful())
    bench.committer.send(batch(b"a"))
    if call == "abort":
        bench.committer.abort()
    else:
        bench.committer.commit({HERE: 1})
    assert "rebuild" not in bench.calls, "the outcome must be known first"
    bench.calls.clear()
    bench.committer.send(batch(b"b"))
    assert bench.calls == ["rebuild", "init", "begin", "send"]
    bench.committer.commit({HERE: 2})
    bench.committer.send(batch(b"c"))
    assert bench.calls.count("rebuild") == 1


@pytest.mark.parametrize(
    "end",
    [
        "commit",
        pytest.param("abort"),
    ],
)
def test_a_lost_connection_means_a_new_producer_too(end: str) -> None:
    """A disturbance between begin and end is doubt, though no call has failed."""
    bench = Bench()
    bench.committer.send(batch(b"a"))
    bench.sink.disturbed = True
    if end == "commit":
        bench.committer.commit({HERE: 1})
    else:
        bench.committer.abort()
    bench.calls.clear()
    bench.committer.send(batch(b"b"))
    assert bench.calls == ["rebuild", "init", "begin", "send"]


@pytest.mark.parametrize("applied", [False, True])
def test_doubt_that_ends_badly_asks_the_broker(applied: bool) -> None:
    """Where a commit was in doubt and then fails, only the broker knows what is committed."""
    bench = Bench()
    bench.broker.fail("commit", doubtful(), applied=applied)
    bench.broker.fail("commit", abortable())
    bench.committer.send(batch(b"a"))
    assert lost(lambda: bench.committer.commit({HERE: 1})).ask_broker


@pytest.mark.parametrize("error", [abortable, fenced])
def test_an_abort_that_fails_asks_the_broker(error: Callable[[], KafkaFailure]) -> None:
    """Where even the abort fails, the broker is asked and the producer replaced."""
    bench = Bench()
    bench.broker.fail("commit", abortable())
    bench.broker.fail("abort", error())
    bench.committer.send(batch(b"a"))
    assert lost(lambda: bench.committer.commit({HERE: 1})).ask_broker
    bench.committer.send(batch(b"a"))
    assert bench.calls.count("rebuild") == 1
    bench.committer.commit({HERE: 1})
    assert bench.values == [b"a"]


@pytest.mark.parametrize("call", ["send", "send_offsets", "commit", "abort"])
def test_fenced_with_a_shared_id_ends_the_process(call: str) -> None:
    """Where another process may have our transactional id, the loser ends, naming the setting."""
    bench = Bench(shared=True)
    bench.broker.fail(call, fenced())
    with pytest.raises(FatalFailure, match="PIPELINE_INSTANCE"):  # noqa: PT012  # whichever raises
        bench.committer.send(batch(b"a"))
        if call == "abort":
            bench.committer.abort()
        bench.committer.commit({HERE: 1})
    assert "rebuild" not in bench.calls
    assert bench.values == []


@pytest.mark.parametrize("call", ["send", "send_offsets", "commit"])
def test_fenced_with_an_own_id_means_too_late(call: str) -> None:
    """Where nobody else can have the id, the transaction was too late: replace, ask, go on."""
    bench = Bench()
    bench.broker.fail(call, fenced())

    def work() -> None:
        bench.committer.send(batch(b"a"))
        bench.committer.commit({HERE: 1})

    assert lost(work).ask_broker
    assert bench.calls[-2:] == ["rebuild", "init"]
    work()
    assert bench.values == [b"a"]


def test_fenced_after_doubt_is_our_own_doing() -> None:
    """After a call in doubt a fence does not mean another process, even with a shared id."""
    bench = Bench(shared=True)
    bench.broker.fail("commit", doubtful())
    bench.broker.fail("commit", fenced())
    bench.committer.send(batch(b"a"))
    assert lost(lambda: bench.committer.commit({HERE: 1})).ask_broker


@pytest.mark.parametrize("call", ["begin", "send", "send_offsets", "commit"])
def test_fatal_passes(call: str) -> None:
    """After a fatal error nothing more is tried."""
    bench = Bench()
    bench.broker.fail(call, fatal())
    with pytest.raises(FatalFailure):  # noqa: PT012  # whichever raises
        bench.committer.send(batch(b"a"))
        bench.committer.commit({HERE: 1})
    assert bench.calls[-1] == call


def test_metadata_is_that_of_the_begin() -> None:
    """A rebalance within a transaction makes its offsets stale; they must not be committed."""
    bench = Bench()
    bench.source.subscribe(Nobody())
    bench.committer.send(batch(b"a"))
    bench.source.assign(HERE)  # the group has moved on, and this member knows
    assert lost(lambda: bench.committer.commit({HERE: 1})).code == "ILLEGAL_GENERATION"
    bench.committer.commit({HERE: 1})
    assert bench.broker.group == {HERE: 1}


def test_start_waits_for_the_broker() -> None:
    """Initialising is tried for as long as it may be."""
    bench = Bench()
    bench.broker.fail("init", doubtful())
    bench.broker.fail("init", retriable())
    bench.committer.start()
    assert bench.waits == ["_TIMED_OUT", "COORDINATOR_LOAD_IN_PROGRESS"]
    bench.committer.send(batch(b"a"))
    assert "rebuild" not in bench.calls


class Nobody:
    """Does not care about the assignment."""

    def on_assigned(self, partitions: object) -> None:
        """Do nothing."""

    on_revoked = on_lost = on_assigned
