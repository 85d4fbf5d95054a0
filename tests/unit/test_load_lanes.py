"""Records of a load are told by key and timestamp, and each is accounted for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.lanes import (
    DEAD_LETTER,
    OUTPUT,
    STEP_MS,
    Lanes,
    Sent,
    Stream,
    due_by_second,
    settle,
)

START = 1_700_000_000_000
RUN = "abc"


def sent_by(stream: Stream, seconds: float) -> list[tuple[bytes, int]]:
    """Return all that is due in so many seconds."""
    due = stream.take(START + seconds * 1_000, 1_000_000)
    return list(zip(*due, strict=True))


def ended(stream: Stream, seconds: float = 0) -> Sent:
    """Return what a stream has sent that ends at a moment."""
    stream.close(START + seconds * 1_000)
    return stream.sent()


@given(st.integers(1, 60), st.lists(st.floats(0, 3), max_size=20), st.integers(1, 50))
def test_open_loop(tens: int, looks: list[float], most: int) -> None:
    """Whenever one looks, and however little one takes at once, each record comes once, on time."""
    stream, other = Stream(f"{RUN}-0", 10 * tens, START), Stream(f"{RUN}-0", 10 * tens, START)
    taken: list[tuple[bytes, int]] = []
    for look in sorted(looks):
        now = START + look * 1_000
        while (due := stream.take(now, most)).keys:
            taken += zip(*due, strict=True)
            assert due.timestamps[-1] <= now
        assert stream.next_due() > now - 0.01  # of a millisecond: floats
    assert taken == sent_by(other, max(looks, default=-1))


@given(st.integers(1, 40))
def test_lane_is_steady(tens: int) -> None:
    """Each key sends once a step, so that its timestamps number its records."""
    by_key: dict[bytes, list[int]] = {}
    for key, timestamp in sent_by(Stream(f"{RUN}-0", 10 * tens, START), 2):
        by_key.setdefault(key, []).append(timestamp)
    assert len(by_key) == tens
    for stamps in by_key.values():
        assert {after - before for before, after in pairwise(stamps)} == {STEP_MS}


@given(st.data())
def test_account(data: st.DataObject) -> None:
    """What is left out is lost, what comes again is a duplicate, and nothing else is either."""
    stream = Stream(f"{RUN}-0", 30, START)
    records = sent_by(stream, 2)
    places = st.sets(st.sampled_from(range(len(records))), max_size=12)
    lost, doubled, excused, dead, broken = (data.draw(places) for _ in range(5))
    for number in broken:
        stream.broken(records[number][1], records[number][0])
    for number in excused:
        stream.not_delivered(records[number][1], records[number][0])
    lanes = Lanes(RUN)
    for number, (key, timestamp) in enumerate(records):
        if number in lost:
            continue
        lane = lanes[key]
        assert lane is not None
        for _ in range(2 if number in doubled else 1):
            lane.see(timestamp, DEAD_LETTER if number in dead else OUTPUT)
    account = settle(lanes, [ended(stream)])
    assert account.sent == len(records)
    assert account.lost == len(lost - excused)
    assert account.duplicates == len(doubled - lost)
    assert account.seen == len(records) - len(lost)
    assert account.undelivered == len(excused)
    assert account.reordered == 0
    assert account.misjudged == len((dead - lost) ^ (broken - lost))
    assert account.unknown == 0
    nobody = settle(lanes, [])
    assert (nobody.unknown, nobody.seen, nobody.lost) == (account.seen, account.seen, 0)


@pytest.mark.parametrize(
    ("is_broken", "topics", "misjudged"),
    [
        (False, [OUTPUT], False),
        (False, [OUTPUT, OUTPUT], False),
        (False, [OUTPUT, DEAD_LETTER], True),
        (False, [DEAD_LETTER, OUTPUT], True),
        (True, [DEAD_LETTER, DEAD_LETTER], False),
        (True, [DEAD_LETTER, OUTPUT, DEAD_LETTER], True),
        (True, [OUTPUT, DEAD_LETTER], False),  # seen twice: a repeat cannot be told from a mistake
    ],
)
def test_output_and_dead_letter(is_broken: bool, topics: list[int], misjudged: bool) -> None:
    """A record that comes out as an output and as a dead letter is misjudged once, at least."""
    stream = Stream(f"{RUN}-0", 10, START)
    ((key, timestamp),) = sent_by(stream, 0.05)
    if is_broken:
        stream.broken(timestamp, key)
    lanes = Lanes(RUN)
    lane = lanes[key]
    assert lane is not None
    for topic in topics:
        lane.see(timestamp, topic)
    assert (settle(lanes, [ended(stream)]).misjudged > 0) is misjudged


@given(st.integers(1, 60), st.floats(0, 5), st.integers(0, 999), st.floats(0, 5))
def test_due(tens: int, seconds: float, offset: int, taken: float) -> None:
    """What is due until a stream ends is known whatever was sent of it, and in which second."""
    start = START + offset
    stream, other = Stream(f"{RUN}-0", 10 * tens, start), Stream(f"{RUN}-0", 10 * tens, start)
    stream.take(start + min(taken, seconds) * 1_000, 1_000_000)
    stream.close(start + seconds * 1_000)
    assert not stream.take(start + 10_000, 1_000_000).keys
    every = other.take(start + seconds * 1_000, 1_000_000)
    assert stream.sent().due == len(every.keys)
    assert due_by_second([stream.sent()]) == Counter(stamp // 1_000 for stamp in every.timestamps)


@given(st.permutations(range(6)))
def test_reordered(order: list[int]) -> None:
    """A record behind a later one of its key is out of order, and is neither lost nor doubled."""
    stream = Stream(f"{RUN}-0", 10, START)
    records = sent_by(stream, 0.5)
    lanes = Lanes(RUN)
    for at in order:
        lane = lanes[records[at][0]]
        assert lane is not None
        lane.see(records[at][1])
    account = settle(lanes, [ended(stream)])
    assert (account.lost, account.duplicates) == (0, 0)
    assert account.reordered == sum(at < max(order[: place + 1]) for place, at in enumerate(order))


def test_nothing_seen_is_all_lost() -> None:
    """Where nothing came out, all is lost, and some of it is named."""
    stream = Stream(f"{RUN}-0", 20, START)
    records = sent_by(stream, 1)
    account = settle(Lanes(RUN), [ended(stream)])
    assert account.lost == len(records)
    assert account.examples[0] == f"{records[0][0].decode()} at {records[0][1]}"


@pytest.mark.parametrize("key", [b"", b"somebody", b"load.another-0.0.1"])
def test_others(key: bytes) -> None:
    """Records of others, and of other runs, are none of ours."""
    assert Lanes(RUN)[key] is None


@pytest.mark.parametrize("rate", [0, 5, 25])
def test_rate_of_lanes(rate: int) -> None:
    """A stream is made of whole lanes."""
    with pytest.raises(ValueError, match="multiple of 10"):
        Stream("x", rate, START)
