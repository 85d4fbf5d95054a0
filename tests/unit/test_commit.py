"""How work becomes final: what is called, in which order, and what errors lead to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lanternpipe.errors import FatalFailure, KafkaFailure
from tests.unit.commits import HERE, Bench, abortable, batch, doubtful, fatal, lost, retriable


class Nobody:
    """Does not care about the assignment."""

    def on_assigned(self, partitions: object) -> None:
        """Do nothing."""

    on_revoked = on_lost = on_assigned


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
    assert bench.calls[bench.calls.index(call) + 1 :] == ["flush", "abort"]
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
