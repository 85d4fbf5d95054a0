"""Follows one record at a time: its trace, and its journey from topic to topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from lanternpipe.demo.trace_tree import Trace
from lanternpipe.errors import LanternpipeError
from lanternpipe.headers import ORIGIN
from lanternpipe.ops.journey import Found, Journey
from lanternpipe.records import Place, Records, TopicPartition

HOLD_SECONDS = 4.0  # long enough to read it
LOOK_SECONDS = 0.2


class Followed(NamedTuple):
    """What is known of the record that is followed.

    Attributes:
        trace: Its trace; None where it has none that crossed Kafka.
        journey: Its journey; None where it has not come out at the other end.
    """

    trace: Trace | None = None
    journey: Journey | None = None

    @property
    def known(self) -> int:
        """How much of it there is: 2 for both."""
        return (self.trace is not None) + (self.journey is not None)


class Candidate(NamedTuple):
    """A record that could be followed."""

    event: Place
    trace: Trace | None
    outputs: Sequence[Found] = ()
    letters: Sequence[Found] = ()


class Search(Protocol):
    """Reads single records."""

    def find(
        self,
        stretches: Mapping[TopicPartition, range],
        wanted: Callable[[Records], Sequence[bool]],
    ) -> list[Records]:
        """Read stretches of partitions and return the records that are wanted."""

    def close(self) -> None:
        """End."""


class Following:
    """Chooses a record now and then, and finds out what became of it.

    Args:
        group: The consumer group of the processor.
        traces: Tells the traces that crossed Kafka, oldest first.
        came_out: Tells some of the last outputs, and of the last dead letters, that were read.
        committed: Tells what the group has committed on a partition.
        clock: Monotonic seconds.
        pause: Waits so many seconds.

    Attributes:
        followed: What is followed now.
    """

    def __init__(
        self,
        group: str,
        *,
        traces: Callable[[], list[Trace]],
        came_out: Callable[[], tuple[list[Found], list[Found]]],
        committed: Callable[[TopicPartition], int | None],
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.followed = Followed()
        self._group = group
        self._traces = traces
        self._came_out = came_out
        self._committed = committed
        self._clock = clock
        self._pause = pause
        self._since = float("-inf")

    def watch(self, search: Search, stopping: Callable[[], bool]) -> None:
        """Follow records until ``stopping()``."""
        try:
            while not stopping():
                self.look(search)
                self._pause(LOOK_SECONDS)
            self.look(search, last=True)
        finally:
            search.close()

    def look(self, search: Search, *, last: bool = False) -> None:
        """Choose another record, if it is time for one or there is one of which more is known.

        Args:
            search: Reads the record.
            last: Whether it is time in any case, as there will be no other look.
        """
        held = not last and self._clock() - self._since < HOLD_SECONDS
        if held and self.followed.known == 2:
            return
        chosen = choose(self._traces(), *self._came_out(), self._passed)
        if chosen is None or (chosen.trace is None and held):
            return
        try:
            found = self._follow(chosen, search)
        except LanternpipeError:
            return  # a panel is not to end the demo; the next look chooses again
        more = found.known - self.followed.known
        if found.known and (more > 0 or (more == 0 and not held)):
            self.followed, self._since = found, self._clock()

    def _follow(self, chosen: Candidate, search: Search) -> Followed:
        event = chosen.event
        if not chosen.outputs and not chosen.letters:
            return Followed(chosen.trace)
        runs = search.find(
            {event.source: range(event.offset, event.offset + 1)}, lambda run: [True] * len(run)
        )
        source = next((found_at(run, 0) for run in runs), None)
        # As `lanternpipe journey` has it: by key and time, whatever else may carry the trace on.
        outputs = [
            each
            for each in chosen.outputs
            if source and (each.key, each.timestamp) == (source.key, source.timestamp)
        ]
        if not outputs and not chosen.letters:
            return Followed(chosen.trace)
        return Followed(
            chosen.trace,
            Journey(
                event,
                source,
                self._group,
                self._committed(event.source),
                outputs=outputs,
                letters=chosen.letters,
            ),
        )

    def _passed(self, event: Place) -> bool:
        return (self._committed(event.source) or 0) > event.offset


def choose(
    traces: Iterable[Trace],
    outputs: Iterable[Found],
    letters: Iterable[Found],
    passed: Callable[[Place], bool],
) -> Candidate | None:
    """Choose the record that tells most: dead-lettered rather than processed, then the slowest.

    Args:
        traces: Those that crossed Kafka.
        outputs: Some that were read.
        letters: Dead letters that were read.
        passed: Whether the group has committed an event.
    """
    letters_of: dict[Place, list[Found]] = {}
    for letter in letters:
        if (origin := origin_of(letter)) is not None and passed(origin):
            letters_of.setdefault(origin, []).append(letter)
    outputs_of: dict[str | None, list[Found]] = {}
    for output in outputs:
        outputs_of.setdefault(output.trace_id, []).append(output)
    traced = [
        Candidate(event, trace, outputs_of.get(trace.trace_id, ()), letters_of.get(event, ()))
        for trace in traces
        if passed(event := Place.parse(trace.crossing))
    ]
    if traced:
        return max(traced, key=_worth)
    untraced = [Candidate(event, None, (), found) for event, found in letters_of.items()]
    return untraced[-1] if untraced else None


def _worth(candidate: Candidate) -> tuple[bool, bool, float]:
    length = 0.0 if candidate.trace is None else candidate.trace.milliseconds
    return bool(candidate.letters), bool(candidate.outputs), length


def origin_of(letter: Found) -> Place | None:
    """Return the place of the event that a dead letter is about; None if it does not tell."""
    try:
        return Place.parse("/".join(letter.header(name) or "" for name in ORIGIN))
    except ValueError:
        return None


def found_at(run: Records, at: int) -> Found:
    """Return one record of a run."""
    return Found(
        Place(*run.source, run.offsets[at]),
        run.timestamps[at],
        run.keys[at],
        run.values[at],
        list((run.headers[at] if run.headers else None) or ()),
    )
