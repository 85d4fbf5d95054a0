"""Which record the demo follows, and what it finds out about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from lanternpipe.demo.following import HOLD_SECONDS, Followed, Following, choose
from lanternpipe.demo.trace_tree import Trace
from lanternpipe.demo.witness import Witness
from lanternpipe.errors import RetriableFailure
from lanternpipe.ops.journey import Found
from lanternpipe.records import Fetched, Place, Records, TopicPartition
from lanternpipe.telemetry.sampling import written
from lanternpipe.testing.doubles import Clock
from tests.unit.followed import (
    EVENT,
    TRACE,
    letter_of,
    output_of,
    trace_of,
)


class OneTopic:
    """A topic whose records all have the same key and time.

    Attributes:
        failing: Whether the broker is away.
        closed: Whether it was closed.
        asked: How often a record was asked for.
    """

    def __init__(self) -> None:
        self.failing = self.closed = False
        self.asked = 0

    def find(
        self,
        stretches: Mapping[TopicPartition, range],
        wanted: Callable[[Records], Sequence[bool]],
    ) -> list[Records]:
        """Return what was asked for."""
        self.asked += 1
        if self.failing:
            raise RetriableFailure("_TIMED_OUT", "away")
        runs = [
            Records(at, [*part], [b"k"] * len(part), [b"event"] * len(part), [5_000] * len(part))
            for at, part in stretches.items()
        ]
        return [run.select(wanted(run)) for run in runs]

    def close(self) -> None:
        """Remember it."""
        self.closed = True


class World:
    """What a ``Following`` is told."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.outputs: list[Found] = []
        self.letters: list[Found] = []
        self.committed: dict[TopicPartition, int] = {EVENT.source: 100}
        self.clock = Clock()
        self.topic = OneTopic()
        self.following = Following(
            "group",
            traces=lambda: self.traces,
            came_out=lambda: (self.outputs, self.letters),
            committed=self.committed.get,
            clock=self.clock,
            pause=self.clock.pause,
        )

    def look(self, *, last: bool = False) -> Followed:
        """Look once, and return what is followed then."""
        self.following.look(self.topic, last=last)
        return self.following.followed


def test_a_dead_lettered_record_tells_most() -> None:
    """A dead-lettered record is chosen before a slower one, and a slow one before others."""
    places = [Place("in", 2, offset) for offset in range(4)]
    traces = [
        trace_of(number, at=place, end_ms=length)
        for number, (place, length) in enumerate(zip(places, (70, 900, 80, 950), strict=True), 1)
    ]
    outputs = [output_of(1), output_of(2)]

    with_letter = choose(traces, outputs, [letter_of(places[2])], lambda _: True)
    without = choose(traces, outputs, [], lambda _: True)

    assert with_letter is not None
    assert without is not None
    assert (with_letter.event, without.event) == (places[2], places[1])


def test_a_record_on_its_way_is_not_chosen() -> None:
    """Before its group has committed it, nothing can be told of a record's end."""
    assert choose([TRACE], [output_of()], [letter_of()], lambda _: False) is None

    world = World()
    world.traces, world.outputs = [trace_of()], [output_of()]
    world.committed[EVENT.source] = EVENT.offset
    assert world.look() == Followed()
    world.committed[EVENT.source] = EVENT.offset + 1
    assert world.look().known == 2


def test_without_traces_a_dead_letter_is_followed() -> None:
    """Where nothing is traced there is still a journey: a dead letter names its origin."""
    world = World()
    world.letters = [Found(Place("dlq", 0, 0), 0, None, None, []), letter_of()]
    found = world.look()

    assert found.trace is None
    assert found.journey is not None
    assert found.journey.event == EVENT
    assert found.journey.source is not None


def test_the_journey_is_that_of_the_trace() -> None:
    """Trace and journey are of one record: its input, its output and what the group committed."""
    world = World()
    world.traces, world.outputs = [trace_of()], [output_of(), output_of(8)]
    found = world.look()

    assert found.trace == trace_of()
    assert found.journey is not None
    assert found.journey.source == Found(EVENT, 5_000, b"k", b"event", [])
    assert found.journey.outputs == [output_of()]
    assert (found.journey.committed, found.journey.group) == (100, "group")


@pytest.mark.parametrize("output", [output_of(key=b"other"), output_of(stamp=1)])
def test_an_output_needs_the_key_and_time_of_its_input(output: Found) -> None:
    """What `lanternpipe journey` would not find is not shown as if it did."""
    world = World()
    world.traces, world.outputs = [trace_of()], [output]

    assert world.look() == Followed(trace_of())


def test_a_record_is_held_while_it_is_read() -> None:
    """One that is fully known stays for seconds; one that is not gives way to one that is."""
    world = World()
    world.letters = [letter_of(Place("in", 2, 9))]
    assert world.look().trace is None
    world.traces, world.outputs = [trace_of()], [output_of()]
    first = world.look()
    assert first.known == 2

    world.traces.append(trace_of(8, end_ms=500))
    world.outputs.append(output_of(8))
    asked = world.topic.asked
    assert world.look() is first
    assert world.topic.asked == asked, "a broker is not asked for what is not shown"
    world.clock.pause(HOLD_SECONDS)
    assert world.look().trace == trace_of(8, end_ms=500)


def test_a_trace_alone_is_held_too() -> None:
    """A trace without a journey does not give way to another one before it can be read."""
    world = World()
    world.traces = [trace_of()]
    world.look()
    world.traces.append(trace_of(8, end_ms=500))

    assert world.look().trace == trace_of()
    world.clock.pause(HOLD_SECONDS)
    assert world.look().trace == trace_of(8, end_ms=500)


def test_the_last_look_chooses_the_best() -> None:
    """At the end a dead-lettered record takes the place of one that was just chosen."""
    world = World()
    world.traces, world.outputs = [trace_of()], [output_of()]
    world.look()
    dead = Place("in", 2, 8)
    world.traces.append(trace_of(8, at=dead))
    world.letters = [letter_of(dead)]
    found = world.look(last=True)

    assert found.journey is not None
    assert found.journey.event == dead


def test_a_broker_that_does_not_answer_ends_nothing() -> None:
    """A record that cannot be read just now is left for the next look."""
    world = World()
    world.traces, world.outputs = [trace_of()], [output_of()]
    world.topic.failing = True
    assert world.look() == Followed()
    world.topic.failing = False
    assert world.look().known == 2


def test_watching_ends_with_a_last_look() -> None:
    """When it is told to stop it looks once more and closes what it reads with."""
    world = World()
    world.traces, world.outputs = [trace_of()], [output_of()]
    world.following.watch(world.topic, lambda: True)

    assert world.following.followed.known == 2
    assert world.topic.closed


def test_witness_keeps_what_can_be_followed() -> None:
    """The outputs that carry a trace are kept, and the dead letters, each with its place."""
    witness = Witness("out")
    headers: Any = [None, [("traceparent", written(7, 2))], [("other", b"x")]]
    many = [0, 1, 2]
    witness.note(
        Fetched(
            [
                Records(TopicPartition("out", 1), many, [b"k"] * 3, [b"v"] * 3, many, headers),
                Records(TopicPartition("dlq", 0), [4], [b"k"], [b"v"], [1], None),
            ]
        )
    )
    outputs, letters = witness.came_out()

    assert [(found.place, found.trace_id) for found in outputs] == [
        (Place("out", 1, 1), f"{7:032x}")
    ]
    assert [found.place for found in letters] == [Place("dlq", 0, 4)]
