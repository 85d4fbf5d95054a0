"""Follows one event through the topics: which stretches are searched, and for what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from lanternpipe.errors import ConfigError, LanternpipeError
from lanternpipe.headers import ORIGIN
from lanternpipe.ops.journey import Found, Journey, Stretch, moment
from lanternpipe.records import Place, Records, TopicPartition

KEY_SECONDS = 60.0  # how long after `--at` events of a key are looked for
LETTER_SECONDS = 3_600.0  # how long after its event a dead letter is looked for
# Letters are few, and a processor may have been down for longer: so many are read in any case.
LETTERS_AT_LEAST = 100_000
# Clocks differ: those of senders among each other, and from the brokers'.
CLOCKS_MS = 60_000
LONGEST_SECONDS = 1e12  # as good as for ever, and within what Kafka takes for a time

Wanted = Callable[[Records], Sequence[bool]]


class Search(Protocol):
    """What is asked of Kafka; see ``lanternpipe.kafka.search``."""

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic."""

    def home(self, topic: str, key: bytes | None) -> list[TopicPartition]:
        """Return the partitions in which our producer may have put a key."""

    def group_offset(self, partition: TopicPartition) -> int | None:
        """Return what the group has committed."""

    def first(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that exists of each partition."""

    def last_stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where a committed reader ends, for each partition."""

    def at_time(
        self, partitions: Iterable[TopicPartition], milliseconds: int
    ) -> dict[TopicPartition, int]:
        """Return the first offset at or after a time; the end where there is none."""

    def find(self, stretches: Mapping[TopicPartition, range], wanted: Wanted) -> list[Records]:
        """Read stretches of partitions and return the records that are wanted."""


class Route(NamedTuple):
    """The topics on an event's way."""

    source: str
    outputs: tuple[str, ...]
    dead_letters: str


class Follower:
    """Follows events.

    Args:
        search: Asked for records and offsets.
        route: The topics.
        group: The consumer group of the processor.
        within: Seconds after an event's time, or after ``--at``, that are searched; None for what
            each search usually takes.
    """

    def __init__(
        self, search: Search, route: Route, group: str, *, within: float | None = None
    ) -> None:
        self._search = search
        self._route = route
        self._group = group
        self._within = within

    def by_place(self, place: Place) -> Journey:
        """Follow the event at a place in the input topic.

        Raises:
            ConfigError: The place is in another topic.
            LanternpipeError: No record is there, or nothing is left of it.
        """
        if place.topic != self._route.source:
            raise ConfigError(
                f"{place} is not in the input topic, {self._route.source}: a journey begins there"
            )
        known = self._search.partitions(place.topic)
        if place.source not in known:
            raise LanternpipeError(
                f"{place} does not exist: {place.topic} has the partitions 0 to {len(known) - 1}"
            )
        end = self._search.last_stable([place.source])[place.source]
        if place.offset >= end:
            raise LanternpipeError(f"{place} does not exist: {place.source} ends before {end}")
        first = self._search.first([place.source])[place.source]
        if place.offset < first:
            return self._remains(place, first)
        stretch = {place.source: range(place.offset, place.offset + 1)}
        found = _each(self._search.find(stretch, lambda run: [True] * len(run)))
        if not found:
            raise LanternpipeError(
                f"{place} does not exist: the offset belongs to the end of a transaction, or to a "
                "record that was taken back, deleted or compacted"
            )
        return self._follow(found[0])

    def by_key(self, key: bytes, at: int) -> Journey:
        """Follow the first event of a key from a time on, and name others.

        Args:
            key: Of the event.
            at: Milliseconds since 1970.

        Raises:
            LanternpipeError: There is none within the time that is searched.
        """
        seconds = KEY_SECONDS if self._within is None else self._within
        until = at + _ms(seconds)
        topic = self._route.source

        def wanted(run: Records) -> list[bool]:
            return [
                at <= stamp < until and each == key
                for each, stamp in zip(run.keys, run.timestamps, strict=True)
            ]

        likely = self._search.home(topic, key)
        found: list[Found] = []
        # Any sender may have its own partitioner, so the other partitions are a second try.
        rest = [each for each in self._search.partitions(topic) if each not in likely]
        for partitions in (likely, rest):
            stretches = self._stretches(partitions, at, until + CLOCKS_MS)
            if found := self._found(stretches, wanted):
                break
        else:
            raise LanternpipeError(
                f"{topic} has no record of this key within {seconds:g} s from {moment(at)} on; "
                "--within SECONDS searches further"
            )
        first, *others = sorted(found, key=lambda each: (each.timestamp, each.place))
        return self._follow(first, [each.place for each in others])

    def _follow(self, source: Found, others: Sequence[Place] = ()) -> Journey:
        event = source.place
        # Asked for first: what is committed by then has its outputs within the ends taken later.
        committed = self._search.group_offset(event.source)
        outputs = self._output_stretches(source)
        letters = self._letter_stretches(source)

        def same(run: Records) -> list[bool]:
            return [
                stamp == source.timestamp and key == source.key
                for key, stamp in zip(run.keys, run.timestamps, strict=True)
            ]

        return Journey(
            event,
            source,
            self._group,
            committed,
            outputs=self._found(outputs, same),
            letters=self._found(letters, _letters_of(event)),
            searched=[*outputs, *letters],
            others=others,
        )

    def _remains(self, place: Place, first: int) -> Journey:
        """Follow an event that the broker no longer has: letters stay longer than inputs."""
        partitions = self._search.partitions(self._route.dead_letters)
        starts, stops = self._search.first(partitions), self._search.last_stable(partitions)
        stretches = [Stretch(at, starts[at], stops[at]) for at in partitions]
        letters = self._found(stretches, _letters_of(place))
        if not letters:
            raise LanternpipeError(
                f"{place} is no longer retained: {place.source} begins at {first}, and "
                f"{self._route.dead_letters} has no letter of it"
            )
        committed = self._search.group_offset(place.source)
        return Journey(place, None, self._group, committed, letters=letters, searched=stretches)

    def _output_stretches(self, source: Found) -> list[Stretch]:
        """Return where outputs can be that have the key and the time of their input."""
        stretches = []
        for topic in self._route.outputs:
            home = self._search.home(topic, source.key)
            alone = [each.partition for each in home] == [source.place.partition]
            until = self._younger_than_all_before(source)
            if self._within is not None:
                until = max(until, source.timestamp + _ms(self._within))
            elif not alone:
                # Other inputs come in between, from partitions that may be ahead.
                until = max(until, source.timestamp + _ms(LETTER_SECONDS))
            stretches += self._stretches(home, source.timestamp, until)
        return stretches

    def _younger_than_all_before(self, source: Found) -> int:
        """Return a time that no record of the partition had up to the event.

        Outputs come in the order of their inputs. So the first output from that time on is behind
        the event's own, also for an event that was sent much later than its time says.
        """
        at, ahead = source.place.source, CLOCKS_MS
        while self._search.at_time([at], source.timestamp + ahead)[at] <= source.place.offset:
            ahead *= 2
        return source.timestamp + ahead

    def _letter_stretches(self, source: Found) -> list[Stretch]:
        """Return where dead letters can be, whose times are those of the brokers."""
        home = self._search.home(self._route.dead_letters, source.key)
        seconds = LETTER_SECONDS if self._within is None else self._within
        until = source.timestamp + _ms(seconds)
        stretches = self._stretches(home, source.timestamp - CLOCKS_MS, until)
        if self._within is not None:
            return stretches
        ends = self._search.last_stable(home)
        return [
            each._replace(
                stop=max(each.stop, min(ends[each.partition], each.start + LETTERS_AT_LEAST))
            )
            for each in stretches
        ]

    def _stretches(
        self, partitions: Sequence[TopicPartition], from_: int, until: int
    ) -> list[Stretch]:
        starts = self._search.at_time(partitions, from_)
        stops = self._search.at_time(partitions, until)
        return [Stretch(at, starts[at], max(starts[at], stops[at])) for at in partitions]

    def _found(self, stretches: Iterable[Stretch], wanted: Wanted) -> list[Found]:
        asked = {each.partition: range(each.start, each.stop) for each in stretches}
        return _each(self._search.find(asked, wanted))


def _ms(seconds: float) -> int:
    return round(min(seconds, LONGEST_SECONDS) * 1_000)


def _letters_of(event: Place) -> Wanted:
    origin = {name: str(part).encode() for name, part in zip(ORIGIN, event, strict=True)}

    def wanted(run: Records) -> list[bool]:
        headers = run.headers or [None] * len(run)
        return [origin.items() <= dict(each or ()).items() for each in headers]

    return wanted


def _each(runs: Iterable[Records]) -> list[Found]:
    """Return the records of runs one by one, by place."""
    found = [
        Found(
            Place(*run.source, offset),
            run.timestamps[at],
            run.keys[at],
            run.values[at],
            list((run.headers[at] if run.headers else None) or ()),
        )
        for run in runs
        for at, offset in enumerate(run.offsets)
    ]
    return sorted(found, key=lambda each: each.place)
