"""When the outcome of a call is unknown, or another producer has taken over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lanternpipe.errors import FatalFailure, KafkaFailure
from tests.unit.commits import HERE, Bench, abortable, batch, doubtful, fatal, fenced, lost


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


def test_what_is_told_in_between_is_not_forgotten() -> None:
    """A disturbance that is noticed while there is nothing to send counts all the same."""
    bench = Bench()
    bench.committer.send(batch(b"a"))
    bench.sink.disturbed = True
    bench.committer.serve()
    bench.committer.commit({HERE: 1})
    bench.committer.send(batch(b"b"))
    assert bench.calls.count("rebuild") == 1


@pytest.mark.parametrize("serve", [False, True])
def test_a_connection_lost_between_transactions_is_no_doubt(serve: bool) -> None:
    """What happens while no transaction is open concerns none: no new producer is needed."""
    bench = Bench()
    bench.sink.disturbed = True
    if serve:
        bench.committer.serve()
    for offset in (1, 2):
        bench.committer.commit({HERE: offset})
    assert "rebuild" not in bench.calls


def test_a_refusal_dies_with_its_transaction() -> None:
    """What was refused before a fence is not held against the transaction after it."""
    bench = Bench()
    bench.broker.fail("send_offsets", fenced())
    bench.committer.send(batch(b"bad"))
    bench.sink.flush(0)
    lost(lambda: bench.committer.commit({HERE: 1}))
    bench.broker.fail("commit", abortable())
    bench.committer.send(batch(b"a"))
    assert not lost(lambda: bench.committer.commit({HERE: 1})).refused


def test_records_under_way_replace_the_client_instead_of_an_abort() -> None:
    """A client that has given up records, or waits for them, would lose some of the next ones."""
    for value, waiting in ((b"bad", 0), (b"a", 1)):
        bench = Bench()
        bench.broker.fail("commit", abortable())
        bench.sink.stuck = waiting
        bench.committer.send(batch(value))
        assert not lost(lambda: bench.committer.commit({HERE: 1})).ask_broker  # noqa: B023
        assert bench.calls[-3:] == ["flush", "rebuild", "init"]
        bench.committer.send(batch(b"next"))
        bench.committer.commit({HERE: 1})
        assert bench.values == [b"next"]


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


@pytest.mark.parametrize("told_by", ["flush", "a record"])
def test_a_fence_that_shows_in_the_flush_ends_the_process(told_by: str) -> None:
    """A producer that learns while it undoes work that it is fenced takes over from nobody."""
    bench = Bench(shared=True)
    bench.broker.fail("send_offsets", abortable())
    if told_by == "flush":
        bench.broker.fail("flush", fenced())
    else:
        bench.sink.refuse_next("INVALID_PRODUCER_EPOCH")
    bench.committer.send(batch(b"a"))
    with pytest.raises(FatalFailure, match="PIPELINE_INSTANCE"):
        bench.committer.commit({HERE: 1})
    assert "rebuild" not in bench.calls


def test_a_fatal_error_that_shows_in_the_flush_ends_the_process() -> None:
    """What is fatal stays so, also where it shows while work is undone."""
    bench = Bench()
    bench.broker.fail("send_offsets", abortable())
    bench.broker.fail("flush", fatal())
    bench.committer.send(batch(b"a"))
    with pytest.raises(FatalFailure):
        bench.committer.commit({HERE: 1})


def test_a_connection_lost_while_committing_is_doubt() -> None:
    """The client may have committed on its own second attempt, before it fails."""
    bench = Bench()
    bench.broker.fail("commit", abortable())
    bench.committer.send(batch(b"a"))
    bench.sink.disturbed = True
    assert lost(lambda: bench.committer.commit({HERE: 1})).ask_broker


def test_fenced_by_a_broker_that_was_away_is_no_other_process() -> None:
    """A fence that comes after a long wait may be the end of an expired transaction: go on."""
    bench = Bench(shared=True, looks_per_call=3)
    bench.broker.fail("commit", fenced())
    bench.committer.send(batch(b"a"))
    assert lost(lambda: bench.committer.commit({HERE: 1})).ask_broker
    assert bench.calls[-2:] == ["rebuild", "init"]


@pytest.mark.parametrize("doubt", ["a fence", "records under way", "between transactions"])
def test_who_stood_still_takes_over_from_nobody(doubt: str) -> None:
    """A zombie that wakes up ends, for whatever reason its client would have to be replaced."""
    bench = Bench(shared=True)
    bench.committer.send(batch(b"a"))
    bench.sink.disturbed = True
    if doubt == "between transactions":
        bench.committer.commit({HERE: 1})
    bench.deadline.frozen += 3.0
    bench.sink.stuck = int(doubt == "records under way")
    bench.broker.fail("commit", fenced() if doubt == "a fence" else abortable())
    with pytest.raises(FatalFailure, match="stood still for 3 s"):  # noqa: PT012  # either raises
        bench.committer.send(batch(b"b"))
        bench.committer.commit({HERE: 2})
    assert "rebuild" not in bench.calls


def test_who_stood_still_before_its_last_commit_may_replace_its_client() -> None:
    """Only a freeze since the id was last surely ours tells that somebody else may have it."""
    bench = Bench(shared=True)
    bench.deadline.frozen += 3.0
    bench.committer.commit({HERE: 1})
    bench.broker.fail("commit", doubtful())
    bench.committer.commit({HERE: 2})
    bench.committer.send(batch(b"a"))
    assert bench.calls.count("rebuild") == 1


def test_who_stood_still_with_an_own_id_goes_on() -> None:
    """Where nobody else can have the id, a process that wakes up replaces its client."""
    bench = Bench()
    bench.committer.send(batch(b"a"))
    bench.deadline.frozen += 100.0
    bench.broker.fail("commit", fenced())
    assert lost(lambda: bench.committer.commit({HERE: 1})).ask_broker
    assert bench.calls[-2:] == ["rebuild", "init"]


def test_fenced_after_doubt_is_our_own_doing() -> None:
    """After a call in doubt a fence does not mean another process, even with a shared id."""
    bench = Bench(shared=True)
    bench.broker.fail("commit", doubtful())
    bench.broker.fail("commit", fenced())
    bench.committer.send(batch(b"a"))
    assert lost(lambda: bench.committer.commit({HERE: 1})).ask_broker
