"""``lanternpipe journey``: what is concluded from the records found of one event. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from lanternpipe import headers
from lanternpipe.records import TRACEPARENT, Headers, Place, TopicPartition
from lanternpipe.telemetry.sampling import parsed

TOLD = {
    "reason": headers.ERROR_KIND,
    "stage": headers.STAGE,
    "error": headers.ERROR_CLASS,
    "field": headers.ERROR_FIELD,
    "limit": headers.ERROR_LIMIT,
    "attempt": headers.ATTEMPT,
    "group": headers.GROUP,
    "version": headers.VERSION,
}


@dataclass(frozen=True, slots=True)
class Found:
    """One record that was found.

    Attributes:
        place: Where.
        timestamp: Milliseconds since 1970 as stored by Kafka.
        key: Key bytes or None.
        value: Value bytes, None for a tombstone.
        headers: Its headers.
    """

    place: Place
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    def header(self, name: str) -> str | None:
        """Return the last header of a name, which is the one that was added last."""
        content = dict(self.headers).get(name)
        return None if content is None else content.decode("utf-8", "backslashreplace")

    @property
    def trace_id(self) -> str | None:
        """The trace that the record belongs to."""
        parent = parsed(self.header(TRACEPARENT))
        return f"{parent.trace_id:032x}" if parent else None


class Stretch(NamedTuple):
    """What was searched of one partition: from ``start`` up to, without, ``stop``."""

    partition: TopicPartition
    start: int
    stop: int

    def __str__(self) -> str:
        if self.stop <= self.start:
            return f"{self.partition}, which has nothing from then on"
        return f"{self.partition}, offsets {self.start:,} to {self.stop - 1:,}"


@dataclass(frozen=True, slots=True)
class Journey:
    """One event's way, as far as it was found.

    Attributes:
        event: The event's place in the input topic.
        source: Its record; None when the broker no longer has it.
        group: The consumer group of the processor.
        committed: What the group has committed on the event's partition; None for nothing.
        outputs: Records with its key and time in the topics of outputs.
        letters: Its dead letters.
        searched: Where outputs and dead letters were looked for.
        others: Further events that a search by key and time fits.
    """

    event: Place
    source: Found | None
    group: str
    committed: int | None
    outputs: Sequence[Found] = ()
    letters: Sequence[Found] = ()
    searched: Sequence[Stretch] = ()
    others: Sequence[Place] = ()

    @property
    def passed(self) -> bool:
        """Whether the group has committed the event."""
        return self.committed is not None and self.committed > self.event.offset

    @property
    def timestamp(self) -> int | None:
        """The event's time in milliseconds, from a dead letter where its record is gone."""
        if self.source is not None:
            return self.source.timestamp
        told = [letter.header(headers.ORIGIN_TIMESTAMP) or "" for letter in self.letters]
        return next((int(text) for text in told if text.isascii() and text.isdigit()), None)


class Conclusion(NamedTuple):
    """What became of an event.

    Attributes:
        outcome: ``processed``, ``dead_lettered``, ``waiting`` or ``filtered_or_not_found``.
        text: The same in a sentence, with what is uncertain about it.
    """

    outcome: str
    text: str


def conclude(journey: Journey) -> Conclusion:
    """Say what became of an event.

    A dead letter names its origin and is certain. An output only shares key and time with its
    input, so that several may fit, and one may belong to a twin.
    """
    count = len(journey.outputs)
    if journey.letters:
        reason = journey.letters[-1].header(TOLD["reason"]) or "no reason given"
        return Conclusion("dead_lettered", f"dead-lettered: {reason}")
    if not journey.passed:
        return Conclusion("waiting", _waiting(journey))
    if count == 1:
        return Conclusion("processed", "processed: one output has its key and time")
    if count:
        text = f"processed: {count:,} candidates, all with its key and time"
        return Conclusion("processed", f"{text}: its outputs, or those of twins")
    return Conclusion(
        "filtered_or_not_found",
        "filtered or not found: the group has committed it, and neither an output with its key "
        "and time nor a dead letter is where it was looked for",
    )


def _waiting(journey: Journey) -> str:
    if journey.committed is None:
        text = f"waiting: {journey.group} has committed nothing on {journey.event.source}"
    else:
        before = journey.event.offset - journey.committed
        text = f"waiting: {before:,} offsets before it" if before else "waiting: it is next"
    if journey.outputs:
        text += (
            "; yet there is output with its key and time: of a twin, or written at least once "
            "and about to be committed"
        )
    return text


def as_json(journey: Journey, *, show: bool = False) -> dict[str, object]:
    """Return the way for programs.

    Args:
        journey: What was found.
        show: Whether keys and values are told, which are personal data.
    """
    source, conclusion = journey.source, conclude(journey)
    return {
        "event": str(journey.event),
        "outcome": conclusion.outcome,
        "text": conclusion.text,
        "timestamp": journey.timestamp,
        "input": None if source is None else _told(source, show=show),
        "group": {
            "id": journey.group,
            "committed": journey.committed,
            "passed": journey.passed,
        },
        "outputs": [_told(each, show=show) for each in journey.outputs],
        "candidates": len(journey.outputs) > 1 or bool(journey.outputs and not journey.passed),
        "dead_letters": [
            {**_told(each, show=show), **{name: each.header(of) for name, of in TOLD.items()}}
            for each in journey.letters
        ],
        "searched": [
            {**each.partition._asdict(), "start": each.start, "stop": each.stop}
            for each in journey.searched
        ],
        "other_events": [str(each) for each in journey.others],
    }


def _told(found: Found, *, show: bool) -> dict[str, object]:
    told: dict[str, object] = {
        **found.place._asdict(),
        "timestamp": found.timestamp,
        "time": moment(found.timestamp),
        "key_bytes": None if found.key is None else len(found.key),
        "value_bytes": None if found.value is None else len(found.value),
        "trace_id": found.trace_id,
    }
    if show:
        told |= {"key": text_of(found.key), "value": text_of(found.value)}
    return told


def text_of(content: bytes | None) -> str | None:
    """Return bytes as text, with what is no text as escapes."""
    return None if content is None else content.decode("utf-8", "backslashreplace")


def moment(milliseconds: int) -> str:
    """Return a time in UTC, as in ``2026-01-31T08:00:00.123Z``."""
    try:
        at = datetime.fromtimestamp(milliseconds // 1_000, UTC)
    except (OverflowError, ValueError, OSError):  # a sender's clock may say anything
        return f"{milliseconds} ms"
    return f"{at:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1_000:03d}Z"
