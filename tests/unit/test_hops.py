"""What a record carries from hop to hop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanternpipe import headers
from lanternpipe.records import Headers, TopicPartition
from lanternpipe.runtime.deadletter import Cause, DeadLetters
from lanternpipe.runtime.hops import due, has_hopped, number, ready, split, unwrapped
from lanternpipe.runtime.retrytopics import RetryTopics, Tier
from lanternpipe.testing.fake_broker import Stored, run_of

HERE, LATER = TopicPartition("logins", 5), TopicPartition("logins.retry.5s", 1)
TIERS = [Tier("logins.retry.5s", 5), Tier("logins.retry.1m", 60)]
TOPICS = RetryTopics(TIERS)
WHY = Cause("geo_down", "transform", "Retry")
NAMES = st.sampled_from(["a", "traceparent", headers.EVENT_ID, headers.ATTEMPT, "pipeline-x"])
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=5)))


def sent_on(stored: Stored, cause: Cause = WHY, now: int = 1_000) -> Stored:
    """Return a record as it stands in the first retry topic."""
    records = run_of(HERE, [(42, stored)])
    (batch,) = TOPICS.envelope(records, {0: (TIERS[0], cause)}, now)
    assert batch.headers is not None
    return Stored(batch.values[0], batch.keys[0], 999_999, batch.headers[0])


@given(HEADERS)
def test_what_is_ours_and_what_is_not(given_: Headers) -> None:
    """Headers of others stay as they are; of ours only the event's id goes on."""
    foreign, own = split(given_)
    stays = {"a", "traceparent", headers.EVENT_ID}
    assert foreign == [each for each in given_ if each[0] in stays]
    assert own.keys() == {name for name, _ in given_ if name.startswith("pipeline-")}


def test_a_retry_topic_holds_the_original() -> None:
    """Key, value and headers are those of the record; the broker stamps the time."""
    records = run_of(HERE, [(42, Stored(b"v", b"k", 77, [("a", b"1")]))])
    (batch,) = TOPICS.envelope(records, {0: (TIERS[0], WHY)}, 1_000)
    assert (batch.topic, batch.keys, batch.values) == ("logins.retry.5s", [b"k"], [b"v"])
    assert batch.timestamps == [0]
    assert batch.headers is not None
    told = dict(batch.headers[0] or [])
    assert told == {
        "a": b"1",
        headers.EVENT_ID: b"logins/5/42",
        headers.ORIGIN_TOPIC: b"logins",
        headers.ORIGIN_PARTITION: b"5",
        headers.ORIGIN_OFFSET: b"42",
        headers.ORIGIN_TIMESTAMP: b"77",
        headers.ATTEMPT: b"1",
        headers.RETRY_DUE: b"1006000",
        headers.RETRY_TIER: b"1",
        headers.ERROR_KIND: b"geo_down",
    }


def test_a_hop_gives_the_original_back() -> None:
    """Read from a retry topic, a record has its own time and its own headers again."""
    back = unwrapped(run_of(LATER, [(3, sent_on(Stored(b"v", b"k", 77, [("a", b"1")])))]))
    assert back.timestamps == [77]
    assert back.headers == [[("a", b"1"), (headers.EVENT_ID, b"logins/5/42")]]


def test_attempts_add_up_over_all_hops() -> None:
    """Each hop counts on, and the dead letter tells where the event came from in the beginning."""
    first = unwrapped(run_of(LATER, [(3, sent_on(Stored(b"v", b"k", 77)))]))
    assert TOPICS.next_tier(first, 0) == TIERS[1]
    (batch,) = TOPICS.envelope(first, {0: (TIERS[1], WHY)}, 2_000)
    assert batch.headers is not None
    second = unwrapped(run_of(LATER, [(9, Stored(b"v", b"k", 5, batch.headers[0]))]))
    assert TOPICS.next_tier(second, 0) is None
    letters = DeadLetters("logins.dlq", "readers", 100_000)
    sent = letters.envelope(second, [0], [WHY])
    assert sent.headers is not None
    names = [name for name, _ in sent.headers[0] or []]
    assert len(names) == len(set(names)), "a header twice"
    told = dict(sent.headers[0] or [])
    assert told[headers.ATTEMPT] == b"3"
    assert told[headers.EVENT_ID] == b"logins/5/42"
    assert [told[name] for name in headers.ORIGIN] == [b"logins", b"5", b"42"]
    assert headers.RETRY_DUE not in told


def test_a_replay_begins_with_new_attempts() -> None:
    """A letter that is replayed goes through all retry topics again, and is counted on."""
    stored = Stored(b"v", headers=[(headers.ATTEMPT, b"3"), (headers.REPLAYS, b"1")])
    back = unwrapped(run_of(TopicPartition("logins.replay", 0), [(0, stored)]))
    assert TOPICS.next_tier(back, 0) == TIERS[0]
    (batch,) = TOPICS.envelope(back, {0: (TIERS[0], WHY)}, 1_000)
    assert batch.headers is not None
    told = dict(batch.headers[0] or [])
    assert (told[headers.ATTEMPT], told[headers.REPLAYS]) == (b"4", b"1")


@given(st.lists(st.integers(0, 20), min_size=1), st.integers(0, 20))
def test_never_before_it_is_due(waits: list[int], now: int) -> None:
    """What is ready is due, and the first that is not ends it."""
    stored = [
        (at, Stored(b"v", headers=[(headers.RETRY_DUE, b"%d" % wait)]))
        for at, wait in enumerate(waits)
    ]
    records = unwrapped(run_of(LATER, stored))
    count = ready(records, now)
    assert all(due(records, at) <= now for at in range(count))
    assert count == len(waits) or due(records, count) > now


ODD = {
    headers.EVENT_ID: b"\xff\xfe",
    headers.ORIGIN_TOPIC: b"a b",
    headers.ORIGIN_PARTITION: b"99999999999",
    headers.ORIGIN_OFFSET: b"-1",
    headers.ORIGIN_TIMESTAMP: b"abc",
    headers.ATTEMPT: b"999999999999",
    headers.REPLAYS: b"x",
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("hop", [False, True])
def test_headers_that_anybody_may_have_written(name: str, hop: bool) -> None:
    """A header with our name and odd content stops neither a letter, nor a retry, nor a dialect."""
    records = run_of(LATER, [(7, Stored(b"v", headers=[(name, ODD[name])]))])
    if hop:
        records = unwrapped(records)
    letters = DeadLetters("logins.dlq", "readers", 100_000, dialects=("spring", "connect"))
    sent = letters.envelope(records, [0], [WHY])
    assert sent.headers is not None
    told = dict(sent.headers[0] or [])
    assert told[headers.ORIGIN_TOPIC] == b"logins.retry.5s"
    assert told[headers.ATTEMPT] == b"1"
    assert TOPICS.envelope(records, {0: (TIERS[0], WHY)}, 1_000)


def test_what_was_replayed_to_the_input_is_known_again() -> None:
    """Its headers are ours, whatever topic they come by; records without any cost nothing."""
    assert not has_hopped(run_of(HERE, [(0, Stored(b"v"))]))
    assert not has_hopped(run_of(HERE, [(0, Stored(b"v", headers=[("traceparent", b"x")]))]))
    assert has_hopped(run_of(HERE, [(0, Stored(b"v", headers=[(headers.REPLAYS, b"1")]))]))


def test_odd_numbers_are_none() -> None:
    """A header that anybody could have written does not stop the loop."""
    for odd in (None, b"", b"x", b"-1", b"9" * 40, b"1.5", "٣".encode()):
        assert number(odd, 7) == 7
    assert number(b"12", 7) == 12
