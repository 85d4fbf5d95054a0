"""What the demo knows at one moment: all that a picture, a line or the JSON is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lanternpipe.demo.following import Followed

ENDED = "ended"  # the status of a demo that is over


@dataclass(frozen=True, slots=True)
class About:
    """What does not change while the demo runs.

    Attributes:
        app: The pipeline's name.
        where: On which broker.
        remark: What to know about that broker.
        input: The input topic.
        output: The output topic.
        dead_letters: The topic of the dead letters.
        transform: The file to edit.
        poison: Share of the records that are broken on purpose.
    """

    app: str
    where: str
    remark: str
    input: str
    output: str
    dead_letters: str
    transform: str
    poison: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The account of all records.

    Attributes:
        produced: Acknowledged by the broker.
        processed: Seen from outside on the output topic.
        filtered: As counted by the processor: nothing can be seen of them.
        dead_lettered: Seen from outside on the topic of the dead letters.
        in_flight: Acknowledged, and not yet finished by the processor.
        seconds: For how long records have been flowing.
        p50_ms: Half of the events were seen processed within so many milliseconds.
        p99_ms: As ``p50_ms``, for 99 of 100.
    """

    produced: int = 0
    processed: int = 0
    filtered: int = 0
    dead_lettered: int = 0
    in_flight: int = 0
    seconds: float = 0.0
    p50_ms: int | None = None
    p99_ms: int | None = None

    @property
    def unaccounted(self) -> int:
        """Records that have vanished; below zero: that are there twice."""
        return self.on_the_way - self.in_flight

    @property
    def on_the_way(self) -> int:
        """Records of which nothing is known yet, seen from outside."""
        return self.produced - self.processed - self.filtered - self.dead_lettered

    @property
    def records_per_second(self) -> float:
        """How many were finished in a second."""
        return (self.produced - self.in_flight) / self.seconds if self.seconds else 0.0


class Flow(NamedTuple):
    """One stream of records.

    Attributes:
        rate: Records per second, lately.
        history: Records per second, one value for each half second, oldest first.
    """

    rate: float = 0.0
    history: tuple[float, ...] = ()


class Flows(NamedTuple):
    """The streams of records."""

    incoming: Flow = Flow()
    processed: Flow = Flow()
    filtered: Flow = Flow()
    dead_lettered: Flow = Flow()


class Letter(NamedTuple):
    """A dead letter.

    Attributes:
        kind: What was wrong.
        error: Class of the exception.
        field: The offending field, or nothing.
        limit: What the field should have been, or nothing.
        frame: Where an unexpected exception came from, or nothing.
        origin: Topic, partition and offset of the record.
        value: The record's value.
    """

    kind: str
    error: str
    field: str
    limit: str
    frame: str
    origin: str
    value: bytes | None


class Seen(NamedTuple):
    """A processed event, and how many milliseconds after it was sent it was seen."""

    value: bytes
    after_ms: int


@dataclass(frozen=True, slots=True)
class State:
    """One moment of the demo.

    Attributes:
        about: What does not change.
        status: What is going on, in a few words.
        flowing: Whether records come out at the other end.
        elapsed: Seconds since the start.
        figures: The account.
        flows: The streams.
        lag_records: Records that the processor has not yet been handed.
        lag_seconds: Age of the oldest record that is not finished.
        p50_ms: As in the figures, of the last seconds only.
        p99_ms: As in the figures, of the last seconds only.
        latency: The p50 for each half second, oldest first.
        kinds: How many dead letters of which kind.
        letter: A recent dead letter.
        events: Some recent events, newest first.
        trouble: The last warning or error, or nothing.
        followed: The record that is followed.
        traced: Whether records are traced.
    """

    about: About
    status: str = "starting"
    flowing: bool = False
    elapsed: float = 0.0
    figures: Figures = Figures()
    flows: Flows = field(default_factory=Flows)
    lag_records: int = 0
    lag_seconds: float = 0.0
    p50_ms: int | None = None
    p99_ms: int | None = None
    latency: tuple[float, ...] = ()
    kinds: tuple[tuple[str, int], ...] = ()
    letter: Letter | None = None
    events: tuple[Seen, ...] = ()
    trouble: str = ""
    followed: Followed = field(default_factory=Followed)
    traced: bool = True
