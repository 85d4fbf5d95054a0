"""Which stretches of which partitions are searched for one event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from lanternpipe.errors import ConfigError, LanternpipeError
from lanternpipe.kafka.search import murmur2, partition_of
from lanternpipe.ops.follow import CLOCKS_MS, LETTERS_AT_LEAST, Follower, Route, Wanted
from lanternpipe.records import Headers, Place, Records, TopicPartition
from lanternpipe.testing.fake_broker import Stored, run_of

AT = 1_700_000_000_000
IN, OUT, DLQ = (TopicPartition(topic, 0) for topic in ("in", "out", "in.dlq"))
THERE = TopicPartition("in", 1)
DAY = 86_400_000


class FakeSearch:
    """Partitions in memory; None is the end of a transaction.

    Attributes:
        logs: Records by offset.
        firsts: The first offset that still exists, where it is not 0.
        committed: By the group.
        read: Offsets that were read, for each partition.
    """

    def __init__(self, logs: Mapping[TopicPartition, Sequence[Stored | None]]) -> None:
        self.logs: dict[TopicPartition, Sequence[Stored | None]] = {OUT: [], DLQ: [], **logs}
        self.firsts: dict[TopicPartition, int] = {}
        self.committed: int | None = 1_000_000
        self.read: dict[TopicPartition, range] = {}

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return all that are known."""
        return sorted(at for at in self.logs if at.topic == topic)

    def home(self, topic: str, key: bytes | None) -> list[TopicPartition]:
        """Return the first one for any key."""
        return self.partitions(topic)[: 1 if key else None]

    def group_offset(self, partition: TopicPartition) -> int | None:
        """Return the same for all."""
        return self.committed

    def first(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return what is set."""
        return {at: self.firsts.get(at, 0) for at in partitions}

    def last_stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the end."""
        return {at: len(self.logs[at]) for at in partitions}

    def at_time(
        self, partitions: Iterable[TopicPartition], milliseconds: int
    ) -> dict[TopicPartition, int]:
        """Return the first offset at or after a time, or the end."""
        return {
            at: next(
                (
                    offset
                    for offset, stored in enumerate(self.logs[at])
                    if stored and stored.timestamp >= milliseconds
                ),
                len(self.logs[at]),
            )
            for at in partitions
        }

    def find(self, stretches: Mapping[TopicPartition, range], wanted: Wanted) -> list[Records]:
        """Return what is wanted, as runs."""
        self.read.update(stretches)
        found = []
        for at, stretch in stretches.items():
            there = [(offset, stored) for offset in stretch if (stored := self.logs[at][offset])]
            if there:
                run = run_of(at, there)
                found.append(run.select(wanted(run)))
        return found


def record(
    seconds: float = 0.0, key: bytes | None = b"k", headers: Headers | None = None
) -> Stored:
    """Return a record, so many seconds after the time of all tests."""
    return Stored(b"v", key, AT + round(seconds * 1_000), headers)


def origin(place: Place) -> Headers:
    """Return the headers by which a letter names its origin."""
    names = ("topic", "partition", "offset")
    return [
        (f"pipeline-origin-{name}", str(part).encode())
        for name, part in zip(names, place, strict=True)
    ]


def follower(search: FakeSearch, within: float | None = None) -> Follower:
    """Return what follows events in the fake."""
    return Follower(search, Route("in", ("out",), "in.dlq"), "readers", within=within)


def test_outputs_are_searched_in_a_short_stretch() -> None:
    """From the event's own time to a minute on: not what is before, nor what is much later."""
    logs = [record(seconds) for seconds in range(-1_000, 1_000)]
    search = FakeSearch({IN: [*logs], OUT: [*logs]})
    found = follower(search).by_place(Place("in", 0, 1_000))
    assert [each.place for each in found.outputs] == [Place("out", 0, 1_000)]
    assert search.read[OUT] == range(1_000, 1_060)


def test_the_output_of_an_event_that_came_late_is_found() -> None:
    """An event that was sent a day after its time has its output a day further on."""
    logs = [record(0), record(80_000), record(86_400), record(1, b"late"), record(200_000)]
    search = FakeSearch({IN: [*logs], OUT: [*logs]})
    found = follower(search).by_place(Place("in", 0, 3))
    assert [each.place for each in found.outputs] == [Place("out", 0, 3)]


def test_only_the_same_key_and_time_fit() -> None:
    """Neither the same key at another time nor another key at the same time is an output."""
    search = FakeSearch(
        {IN: [record()], OUT: [record(0.001), record(0, b"x"), record(0, None), record()]}
    )
    found = follower(search).by_place(Place("in", 0, 0))
    assert [each.place.offset for each in found.outputs] == [3]


def test_letters_are_known_by_their_origin() -> None:
    """Only a letter that names the event is its letter, whatever else is alike."""
    event = Place("in", 0, 1)
    others = (event._replace(offset=0), event._replace(partition=1), event._replace(topic="on"))
    letters = [record(5, headers=origin(each)) for each in (*others, event)]
    search = FakeSearch({IN: [record(), record()], DLQ: [record(), *letters]})
    found = follower(search).by_place(event)
    assert [each.place.offset for each in found.letters] == [4]


def test_a_letter_that_was_passed_on_again_names_its_last_origin() -> None:
    """Of two origins in one letter the one that was added last counts."""
    first, last = Place("in", 0, 0), Place("in", 0, 1)
    twice = record(headers=[*origin(first), *origin(last)])
    search = FakeSearch({IN: [record(), record()], DLQ: [twice]})
    assert not follower(search).by_place(first).letters
    assert follower(search).by_place(last).letters


def test_how_far_letters_are_searched() -> None:
    """A few letters are read whatever their time, since a processor may have been down for days."""
    event = Place("in", 0, 0)
    late = record(3 * 86_400, headers=origin(event))
    search = FakeSearch({IN: [record()], DLQ: [late]})
    assert follower(search).by_place(event).letters
    assert not follower(search, within=60).by_place(event).letters
    search = FakeSearch({IN: [record()], DLQ: [record(4_000)] * LETTERS_AT_LEAST + [late]})
    assert not follower(search).by_place(event).letters
    assert follower(search, within=1e300).by_place(event).letters


def test_clocks_may_differ() -> None:
    """A letter is found also when its broker's clock is behind that of the event's sender."""
    event = Place("in", 0, 0)
    behind = record(-CLOCKS_MS / 1_000, headers=origin(event))
    search = FakeSearch({IN: [record()], DLQ: [behind]})
    assert follower(search).by_place(event).letters


def test_an_event_without_key_is_searched_everywhere() -> None:
    """Without a key the output may be in any partition, among records of other inputs."""
    there = TopicPartition("out", 1)
    search = FakeSearch({IN: [record(0, None)], there: [record(600), record(0, None), record(4e6)]})
    found = follower(search).by_place(Place("in", 0, 0))
    assert [each.place for each in found.outputs] == [Place("out", 1, 1)]


def test_by_key_the_first_from_the_time_on_is_followed() -> None:
    """Of a key's events the first from the time on is followed, and others within it are named."""
    search = FakeSearch(
        {IN: [*map(record, (-1, 30, 10, 59.999, 60, 200)), record(5, b"x"), record(1_000)]}
    )
    found = follower(search).by_key(b"k", AT)
    assert found.event == Place("in", 0, 2)
    assert [each.offset for each in found.others] == [1, 3]
    assert len(follower(search, within=1_000).by_key(b"k", AT).others) == 4


def test_by_key_other_partitions_are_a_second_try() -> None:
    """A sender with a partitioner of its own is found, but not searched for without need."""
    search = FakeSearch({IN: [record()], THERE: [record(), record(0, b"x")]})
    assert not follower(search).by_key(b"k", AT).others
    assert THERE not in search.read
    assert follower(search).by_key(b"x", AT).event == Place("in", 1, 1)


@pytest.mark.parametrize(
    ("place", "kind", "says"),
    [
        ("on/0/0", ConfigError, "not in the input topic, in"),
        ("in/2/0", LanternpipeError, "in has the partitions 0 to 1"),
        ("in/0/4", LanternpipeError, "in/0/4 does not exist: in/0 ends before 4"),
        ("in/0/2", LanternpipeError, "belongs to the end of a transaction"),
        ("in/0/0", LanternpipeError, "no longer retained: in/0 begins at 1, and in.dlq has no"),
    ],
)
def test_what_cannot_be_followed(place: str, kind: type[LanternpipeError], says: str) -> None:
    """A place without a record is refused with what is there instead."""
    search = FakeSearch({IN: [record(), record(), None, record()], THERE: []})
    search.firsts[IN] = 1
    with pytest.raises(kind, match=says) as caught:
        follower(search).by_place(Place.parse(place))
    assert type(caught.value) is kind


def test_no_event_of_a_key_is_said_without_the_key() -> None:
    """Where no event fits, time and topic are named, and the key, personal data, is not."""
    search = FakeSearch({IN: [record()]})
    with pytest.raises(LanternpipeError, match="no record of this key within 5 s") as caught:
        follower(search, within=5).by_key(b"alice", AT)
    assert "alice" not in str(caught.value)
    assert "2023-11-14T22:13:20.000Z" in str(caught.value)


def test_a_letter_outlives_its_record() -> None:
    """Of a record that the broker no longer has the letter is followed."""
    event = Place("in", 0, 0)
    search = FakeSearch({IN: [None, record()], DLQ: [record(DAY, headers=origin(event))]})
    search.firsts[IN] = 1
    found = follower(search).by_place(event)
    assert (found.source, len(found.letters)) == (None, 1)


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hash_of_keys(key: bytes, hashed: int) -> None:
    """Keys have the hash that the tests of Kafka's own client tell of, so the same partition."""
    assert murmur2(key) == hashed % 2**32
    assert partition_of(key, 6) == (hashed & 0x7FFFFFFF) % 6
