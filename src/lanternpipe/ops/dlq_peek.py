"""``lanternpipe dlq peek``: what single letters tell, and whether they would decode now. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from lanternpipe import headers
from lanternpipe.errors import Reject
from lanternpipe.letter import Letter
from lanternpipe.ops.journey import moment, text_of
from lanternpipe.ops.marks import Mark, Marks
from lanternpipe.ops.shown import printable, readable, size
from lanternpipe.records import TRACEPARENT
from lanternpipe.telemetry.sampling import parsed

Explain = Callable[[bytes | None], Reject | None]
"""Says why a value does not decode now, or None if it does."""


@dataclass(frozen=True, slots=True)
class Peeked:
    """One letter and what is known of it.

    Attributes:
        letter: The letter.
        mark: Tells of its last replay; None while it waits to be decided about.
        fault: Why its value does not decode now.
    """

    letter: Letter
    mark: Mark | None
    fault: Reject | None

    @property
    def now(self) -> str:
        """Whether the value would decode now, in a sentence."""
        if "value" in self.letter.cut:
            return "now: its value was cut, so nobody can tell"
        if self.fault is None:
            later = {"transform", "encode", "produce"} & {self.letter.stage}
            return "now: its value decodes" + ("; it failed behind that, so try" if later else "")
        return "now: its value does not decode: " + _sentence(
            self.fault.reason, self.fault.field, self.fault.limit
        )


@dataclass(frozen=True, slots=True)
class Glance:
    """What a look into the dead letters shows.

    Attributes:
        shown: The letters, in the order asked for.
        matching: How many fit the filters, these among them.
        marked: How many fit and have been replayed.
    """

    shown: list[Peeked]
    matching: int
    marked: int


def look(
    letters: Iterable[Letter],
    marks: Marks,
    explain: Explain,
    *,
    most: int,
    oldest: bool,
    marked_too: bool,
) -> Glance:
    """Choose the newest or oldest letters and explain them.

    Args:
        letters: All that are meant.
        marks: Which of them have been replayed.
        explain: The pipeline's codec.
        most: How many to show.
        oldest: Whether the oldest are wanted.
        marked_too: Whether those that have been replayed are shown as well.
    """
    matching = marked = 0

    def waiting() -> Iterator[Letter]:
        nonlocal matching, marked
        for letter in letters:
            replayed = marks.of(letter) is not None
            marked += replayed
            if marked_too or not replayed:
                matching += 1
                yield letter

    choose = heapq.nsmallest if oldest else heapq.nlargest
    chosen = choose(most, waiting(), key=lambda letter: (letter.timestamp, letter.place))
    shown = [Peeked(letter, marks.of(letter), explain(letter.value)) for letter in chosen]
    return Glance(shown, matching, marked)


def as_json(glance: Glance, *, show: bool = False) -> dict[str, object]:
    """Return the letters for programs.

    Args:
        glance: What is shown.
        show: Whether keys and values are told, which are personal data.
    """
    return {
        "letters": [_told(each, show=show) for each in glance.shown],
        "matching": glance.matching,
        "marked": glance.marked,
    }


def _told(each: Peeked, *, show: bool) -> dict[str, object]:
    letter, mark, fault = each.letter, each.mark, each.fault
    cut = "value" in letter.cut
    told: dict[str, object] = {
        "place": str(letter.place),
        "timestamp": letter.timestamp,
        "time": moment(letter.timestamp),
        "event_id": letter.event_id,
        "origin": None if letter.origin is None else str(letter.origin),
        "origin_timestamp": letter.told(headers.ORIGIN_TIMESTAMP),
        "reason": letter.reason,
        "stage": letter.stage,
        "error": letter.error,
        "field": letter.field,
        "limit": letter.limit,
        "frames": list(letter.frames),
        "attempt": letter.attempt,
        "replays": letter.replays,
        "group": letter.told(headers.GROUP),
        "version": letter.version,
        "trace_id": _trace_id(letter),
        "key_bytes": None if letter.key is None else len(letter.key),
        "value_bytes": None if letter.value is None else len(letter.value),
        "cut": list(letter.cut),
        "replayed": None if mark is None else mark._asdict(),
        "decodes_now": None if cut else fault is None,
        "fault_now": None
        if cut or fault is None
        else {"reason": fault.reason, "field": fault.field, "limit": fault.limit},
    }
    if show:
        told |= {"key": text_of(letter.key), "value": text_of(letter.value)}
    return told


def as_text(topic: str, glance: Glance, *, marked_too: bool, show: bool = False) -> RenderableType:
    """Return the letters for people.

    Args:
        topic: Of the dead letters.
        glance: What is shown.
        marked_too: Whether those that have been replayed are among them.
        show: Whether keys and values are told, which are personal data.
    """
    lines: list[RenderableType] = []
    for each in glance.shown:
        lines += [*_lines(each, show=show), Text()]
    text = f"{len(glance.shown):,} of {glance.matching:,} matching dead letters in {topic}"
    if glance.marked and not marked_too:
        text += f"; {glance.marked:,} more have been replayed and are left out (--all shows them)"
    return Group(*lines, Text(text))


def _lines(each: Peeked, *, show: bool) -> Iterator[Text]:
    letter = each.letter
    title = Text.assemble(("✘ ", "red"), (str(letter.place), "bold"))
    yield title.append(f"  {moment(letter.timestamp)}", style="dim")
    yield Text.assemble(
        "  ", (_sentence(letter.reason, letter.field, letter.limit, letter.stage), "red")
    )
    origin = "unknown" if letter.origin is None else str(letter.origin)
    event = letter.event_id or origin
    told = f"  origin {origin}" + (f", event {event}" if event != origin else "")
    yield Text(printable(told))
    named = {
        "attempt": str(letter.attempt),
        "replays": str(letter.replays),
        "error": letter.error,
        "group": letter.told(headers.GROUP),
        "version": letter.version,
        "trace": _trace_id(letter),
    }
    line = ", ".join(f"{name} {text}" for name, text in named.items() if text)
    yield Text(f"  {printable(line)}", style="dim")
    for frame in letter.frames:
        yield Text(f"  at {printable(frame)}", style="dim")
    cut = f", cut: {', '.join(letter.cut)}" if letter.cut else ""
    yield Text(f"  key {size(letter.key)}, value {size(letter.value)}{cut}", style="dim")
    if show:
        yield Text(f"  key   {readable(letter.key)}")
        yield Text(f"  value {readable(letter.value)}")
    if each.mark is not None:
        mark = each.mark
        yield Text(f"  replayed {moment(mark.at)} to {printable(str(mark.to))}", style="yellow")
    yield Text(f"  {each.now}", style="green" if each.fault is None else "")


def _sentence(reason: str, field: str | None, limit: str | None, stage: str = "") -> str:
    text = reason + (f" at {stage}" if stage else "")
    if field:
        text += f": field {field}"
    if limit:
        text += f", should be {limit}"
    return printable(text)


def _trace_id(letter: Letter) -> str | None:
    parent = parsed(letter.told(TRACEPARENT))
    return f"{parent.trace_id:032x}" if parent else None
