"""The history checker: silent on every valid history, loud by the right name on a spoilt one."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanternpipe.testing.history import (
    ACKS,
    ANOMALIES,
    FATES,
    MAX_EXAMPLES,
    TOPICS,
    Ack,
    Fate,
    Report,
    Seen,
    Sent,
    Topic,
    check,
)

RECORDS = 1_000_000
DEADLINE_SECONDS = 20.0  # about 3 measured on a shared 2-core machine

# Every history holds these, so that each mutation below finds something to spoil.
CORE: list[tuple[str, Fate, Ack, bool]] = [
    ("core", "processed", "acknowledged", True),
    ("core", "dead_lettered", "acknowledged", True),
    ("core", "filtered", "acknowledged", False),
    ("core", "processed", "unknown", True),
    ("core", "processed", "unknown", False),
    ("core", "processed", "failed", False),
    ("core", "dead_lettered", "acknowledged", True),
    ("core", "processed", "acknowledged", True),
]

History = tuple[list[Sent], list[Seen]]


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key by its hash."""
    return crc32(key.encode()) % partitions


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw a history in which everything went well."""
    extra = st.tuples(
        st.sampled_from(["core", "a", "b", "c", "d", ""]),
        st.sampled_from(FATES),
        st.sampled_from(ACKS),
        st.booleans(),
    )
    plans = list(CORE)
    for plan in draw(st.lists(extra, max_size=30)):
        plans.insert(draw(st.integers(0, len(plans))), plan)
    partitions = {topic: draw(st.integers(1, 4)) for topic in TOPICS}
    sequences: dict[str, int] = {}
    offsets: dict[tuple[Topic, int], int] = {}
    sent: list[Sent] = []
    queues: dict[tuple[Topic, int], list[Seen]] = {}
    for number, (key, fate, ack, chance) in enumerate(plans):
        sequence = sequences.get(key, draw(st.integers(-2, 2))) + draw(st.integers(1, 3))
        sequences[key] = sequence
        sent.append(Sent(f"id-{number}", key, sequence, fate, ack))
        if fate == "filtered" or ack == "failed" or (ack == "unknown" and not chance):
            continue
        place = (fate, partition_of(key, partitions[fate]))
        # Transaction markers take offsets too, so there are gaps.
        offsets[place] = offsets.get(place, -1) + draw(st.integers(1, 3))
        queues.setdefault(place, []).append(Seen(f"id-{number}", key, *place, offsets[place]))
    turns = draw(st.permutations([place for place, queue in queues.items() for _ in queue]))
    streams = {place: iter(queue) for place, queue in queues.items()}
    return draw(st.permutations(sent)), [next(streams[place]) for place in turns]


def anomalies(report: Report) -> dict[str, int]:
    """Return the counts that are not 0."""
    return {name: count for name, count in report.counts.items() if count}


def same_key(seen: list[Seen], record: Seen) -> list[int]:
    """Return where the records of this one's key and topic are, in the order of reading."""
    return [
        index
        for index, other in enumerate(seen)
        if (other.key, other.topic) == (record.key, record.topic)
    ]


def replaced(seen: list[Seen], index: int, record: Seen) -> list[Seen]:
    """Return the reads with this record instead of the one at the index."""
    return [*seen[:index], record, *seen[index + 1 :]]


def appended(seen: list[Seen], record: Seen) -> list[Seen]:
    """Return the reads with this record written and read at the end of its partition."""
    ends = [
        other.offset
        for other in seen
        if (other.topic, other.partition) == (record.topic, record.partition)
    ]
    return [*seen, record._replace(offset=max(ends, default=-1) + 1)]


def acknowledged(history: History) -> list[int]:
    """Return where the reads of acknowledged sends are."""
    acks = {send.id: send.ack for send in history[0]}
    return [i for i, record in enumerate(history[1]) if acks[record.id] == "acknowledged"]


def pairs(seen: list[Seen]) -> list[tuple[int, int]]:
    """Return where two records of one key follow each other in a topic."""
    indexes = (same_key(seen, record) for record in seen)
    return sorted({pair for found in indexes for pair in pairwise(found)})


@given(histories())
@settings(deadline=None)
def test_valid_history_is_ok(history: History) -> None:
    """A history without faults has no anomaly, whatever its keys, fates, acks and partitions."""
    report = check(*history)
    assert report.ok, report.summary()
    assert report.counts == dict.fromkeys(ANOMALIES, 0)
    assert report.examples == {name: [] for name in ANOMALIES}
    assert (sum(report.acks.values()), report.seen) == (len(history[0]), len(history[1]))


@given(histories(), st.data())
@settings(deadline=None)
def test_lost_write(history: History, data: st.DataObject) -> None:
    """An acknowledged record that is missing before a later one of its key and topic is lost."""
    sent, seen = history
    droppable = [i for i in acknowledged(history) if i != same_key(seen, seen[i])[-1]]
    index = data.draw(st.sampled_from(droppable))
    report = check(sent, seen[:index] + seen[index + 1 :])
    assert anomalies(report) == {"lost-write": 1}
    assert report.examples["lost-write"][0].startswith(seen[index].id)


@given(histories(), st.data())
@settings(deadline=None)
def test_unseen(history: History, data: st.DataObject) -> None:
    """Acknowledged records missing at the end of their key in their topic are unseen."""
    sent, seen = history
    index = data.draw(st.sampled_from(acknowledged(history)))
    gone = {i for i in same_key(seen, seen[index]) if i >= index}
    missing = len(gone.intersection(acknowledged(history)))
    left = [record for i, record in enumerate(seen) if i not in gone]
    assert anomalies(check(sent, left)) == {"unseen": missing}


@given(histories(), st.data())
@settings(deadline=None)
def test_duplicate(history: History, data: st.DataObject) -> None:
    """A record that is in its partition twice is one duplicate, also if its ack is unknown."""
    sent, seen = history
    record = data.draw(st.sampled_from(seen))
    assert anomalies(check(sent, appended(seen, record))) == {"duplicate": 1}


@given(histories())
@settings(deadline=None)
def test_redelivered_batch(history: History) -> None:
    """A whole run written twice is as many duplicates as records and no change of order."""
    sent, seen = history
    twice = list(seen)
    for record in seen:
        twice = appended(twice, record)
    assert anomalies(check(sent, twice)) == {"duplicate": len(seen)}


@given(histories(), st.data())
@settings(deadline=None)
def test_duplicate_across_topics(history: History, data: st.DataObject) -> None:
    """A record that is in both topics is a duplicate and misrouted."""
    sent, seen = history
    record = data.draw(st.sampled_from(seen))
    other: Topic = "processed" if record.topic == "dead_lettered" else "dead_lettered"
    report = check(sent, appended(seen, record._replace(topic=other)))
    assert report.counts["duplicate"] == report.counts["misrouted"] == 1


@given(histories(), st.data())
@settings(deadline=None)
def test_aborted_read(history: History, data: st.DataObject) -> None:
    """A record that is seen although its send failed is an aborted read."""
    sent, seen = history
    victim = data.draw(st.sampled_from(seen)).id
    spoilt = [s._replace(ack="failed") if s.id == victim else s for s in sent]
    assert anomalies(check(spoilt, seen)) == {"aborted-read": 1}


@given(histories(), st.data())
@settings(deadline=None)
def test_phantom_read(history: History, data: st.DataObject) -> None:
    """A record that is seen and was never sent is a phantom and nothing else."""
    sent, seen = history
    victim = data.draw(st.sampled_from(seen)).id
    assert anomalies(check([s for s in sent if s.id != victim], seen)) == {"phantom-read": 1}


@given(histories(), st.data())
@settings(deadline=None)
def test_misrouted(history: History, data: st.DataObject) -> None:
    """A record seen in a topic that is not its fate is misrouted, and not also lost."""
    sent, seen = history
    record = data.draw(st.sampled_from(seen))
    fate = data.draw(st.sampled_from([fate for fate in FATES if fate != record.topic]))
    spoilt = [s._replace(fate=fate) if s.id == record.id else s for s in sent]
    assert anomalies(check(spoilt, seen)) == {"misrouted": 1}


@given(histories(), st.data())
@settings(deadline=None)
def test_reordering(history: History, data: st.DataObject) -> None:
    """Two neighbours of a key that changed places are one record out of order."""
    sent, seen = history
    first, second = data.draw(st.sampled_from(pairs(seen)))
    spoilt = replaced(seen, first, seen[first]._replace(id=seen[second].id))
    spoilt = replaced(spoilt, second, seen[second]._replace(id=seen[first].id))
    assert anomalies(check(sent, spoilt)) == {"reordering": 1}


@given(histories(), st.data())
@settings(deadline=None)
def test_inconsistent_offsets(history: History, data: st.DataObject) -> None:
    """Two ids read at one position are an inconsistency, and the reader did not move on."""
    sent, seen = history
    first, second = data.draw(st.sampled_from(pairs(seen)))
    stuck = seen[second]._replace(offset=seen[first].offset)
    report = check(sent, replaced(seen, second, stuck))
    assert anomalies(report) == {"inconsistent-offsets": 1, "nonmonotonic-poll": 1}


@given(histories(), st.data())
@settings(deadline=None)
def test_key_changed_between_two_reads(history: History, data: st.DataObject) -> None:
    """A position that shows another key when read again is inconsistent, and no duplicate."""
    sent, seen = history
    record = data.draw(st.sampled_from(seen))
    report = check(sent, [*seen, record._replace(key="changed")])
    assert anomalies(report) == {"inconsistent-offsets": 1, "nonmonotonic-poll": 1}


@given(histories(), st.data())
@settings(deadline=None)
def test_nonmonotonic_poll_read_twice(history: History, data: st.DataObject) -> None:
    """A position that is read again is a step back of the reader, and no duplicate."""
    sent, seen = history
    record = data.draw(st.sampled_from(seen))
    assert anomalies(check(sent, [*seen, record])) == {"nonmonotonic-poll": 1}


@given(histories(), st.data())
@settings(deadline=None)
def test_nonmonotonic_poll_out_of_order(history: History, data: st.DataObject) -> None:
    """Records read in another order than they lie in are the reader's fault, no reordering."""
    sent, seen = history
    first, second = data.draw(st.sampled_from(pairs(seen)))
    spoilt = replaced(replaced(seen, first, seen[second]), second, seen[first])
    report = check(sent, spoilt)
    assert set(anomalies(report)) == {"nonmonotonic-poll"}


@given(histories(), st.data())
@settings(deadline=None)
def test_wrong_key(history: History, data: st.DataObject) -> None:
    """A record that came out with another key has a wrong key, and is neither lost nor moved."""
    sent, seen = history
    index = data.draw(st.sampled_from(range(len(seen))))
    key = data.draw(st.sampled_from(["core", "a", "new"]).filter(lambda k: k != seen[index].key))
    spoilt = replaced(seen, index, seen[index]._replace(key=key))
    assert anomalies(check(sent, spoilt)) == {"wrong-key": 1}


@given(histories(), st.data())
@settings(deadline=None)
def test_moved_key(history: History, data: st.DataObject) -> None:
    """A key with records on two partitions of a topic has moved, once however many records."""
    sent, seen = history
    first, _ = data.draw(st.sampled_from(pairs(seen)))
    moving = [i for i in same_key(seen, seen[first]) if i > first]
    spoilt = [r._replace(partition=9) if i in moving else r for i, r in enumerate(seen)]
    assert anomalies(check(sent, spoilt)) == {"moved-key": 1}


def test_later_record_in_the_other_topic_proves_no_loss() -> None:
    """A missing dead letter is unseen, not lost, when only the processed topic went further."""
    sent = [
        Sent("letter", "k", 1, "dead_lettered", "acknowledged"),
        Sent("login", "k", 2, "processed", "acknowledged"),
    ]
    report = check(sent, [Seen("login", "k", "processed", 0, 0)])
    assert anomalies(report) == {"unseen": 1}


def test_lost_write_of_a_key_that_moved() -> None:
    """A later record proves a loss from whichever partition of the topic, the furthest counts."""
    sent = [Sent(f"s{n}", "k", n, "processed", "acknowledged") for n in range(4)]
    seen = [Seen("s3", "k", "processed", 0, 0), Seen("s0", "k", "processed", 1, 0)]
    assert anomalies(check(sent, seen)) == {"lost-write": 2, "moved-key": 1}


def test_every_record_behind_a_later_one_counts() -> None:
    """One record that overtook three others is three records out of order."""
    sent = [Sent(f"s{n}", "k", n, "processed", "acknowledged") for n in range(4)]
    order = [3, 0, 1, 2]
    seen = [Seen(f"s{n}", "k", "processed", 0, offset) for offset, n in enumerate(order)]
    assert anomalies(check(sent, seen)) == {"reordering": 3}


def test_one_rewind_counts_once() -> None:
    """A reader that went back and read three records again made one step back."""
    sent = [Sent(f"s{n}", "k", n, "processed", "acknowledged") for n in range(3)]
    seen = [Seen(f"s{n}", "k", "processed", 0, n) for n in range(3)]
    report = check(sent, seen * 2)
    assert anomalies(report) == {"nonmonotonic-poll": 1}
    assert report.seen == 2 * len(seen)


def test_known_id_shows_up_at_a_position_of_another() -> None:
    """A position that later shows an id known from elsewhere is inconsistent and a duplicate."""
    sent = [Sent(f"s{n}", "k", n, "processed", "acknowledged") for n in range(2)]
    places = [("s0", 0), ("s1", 1), ("s0", 1)]
    seen = [Seen(name, "k", "processed", 0, offset) for name, offset in places]
    expected = {"duplicate": 1, "inconsistent-offsets": 1, "nonmonotonic-poll": 1}
    assert anomalies(check(sent, seen)) == expected


def test_empty_history_shows_that_nothing_was_checked() -> None:
    """An empty history is ok and its summary says how little that means."""
    report = check([], [])
    assert report.ok
    assert "0 sent (0 acknowledged, 0 failed, 0 unknown), 0 seen" in report.summary()


def test_summary_names_every_anomaly_with_few_examples() -> None:
    """The summary has a line per anomaly, the counts, and no more examples than its limit."""
    seen = [Seen(f"ghost-{n}", "k", "processed", 3, n) for n in range(1_234)]
    report = check([], seen)
    text = report.summary()
    assert not report.ok
    assert report.counts["phantom-read"] == 1_234
    assert report.examples["phantom-read"][0] == "ghost-0 (key k) at processed/3@0"
    assert len(report.examples["phantom-read"]) == MAX_EXAMPLES
    assert all(f"\n{name} " in text for name in ANOMALIES)
    assert "verdict: 1,234 anomalies" in text
    assert "ghost-4" in text
    assert "ghost-5 " not in text


SEND = Sent("s", "k", 0, "processed", "acknowledged")
SIGHT = Seen("s", "k", "processed", 0, 0)


@pytest.mark.parametrize(
    ("sent", "seen", "reason"),
    [
        ([SEND, SEND], [], "sent twice"),
        ([SEND, SEND._replace(sequence=1)], [], "sent twice"),
        ([SEND._replace(ack="acked")], [], "no such fate or ack"),  # type: ignore[arg-type]
        ([SEND._replace(fate="lost")], [], "no such fate or ack"),  # type: ignore[arg-type]
        ([SEND], [SIGHT._replace(topic="filtered")], "no such topic"),  # type: ignore[arg-type]
    ],
    ids=["same-send-twice", "id-twice", "no-such-ack", "no-such-fate", "no-such-topic"],
)
def test_history_that_cannot_be_judged(sent: list[Sent], seen: list[Seen], reason: str) -> None:
    """A history with an id sent twice or a word nobody knows is refused, not waved through."""
    with pytest.raises(ValueError, match=reason):
        check(sent, seen)


def healthy() -> Iterator[Seen]:
    """Yield reads without a fault."""
    return (Seen(f"s{n}", f"k{n % 1000}", "processed", n % 8, n // 8) for n in range(RECORDS))


def one_position() -> Iterator[Seen]:
    """Yield reads that all claim one position."""
    return (Seen(f"s{n}", f"k{n % 1000}", "processed", 0, 0) for n in range(RECORDS))


def one_id() -> Iterator[Seen]:
    """Yield reads of one record, written over and over."""
    return (Seen("s0", "k0", "processed", 0, n) for n in range(RECORDS))


def backwards() -> Iterator[Seen]:
    """Yield reads from the end to the start."""
    return (Seen(f"s{n}", f"k{n % 1000}", "processed", n % 8, RECORDS - n) for n in range(RECORDS))


@pytest.mark.parametrize("shape", [healthy, one_position, one_id, backwards])
def test_a_million_records_in_linear_time(shape: Callable[[], Iterator[Seen]]) -> None:
    """A million records are judged in seconds, also where everything collides."""
    sent = [
        Sent(f"s{n}", f"k{n % 1000}", n // 1000, "processed", "acknowledged")
        for n in range(RECORDS)
    ]
    seen = list(shape())
    start = time.perf_counter()
    report = check(sent, seen)
    took = time.perf_counter() - start
    assert took < DEADLINE_SECONDS, f"{took:.1f} s"
    assert report.seen == RECORDS
    assert report.ok is (shape is healthy)
