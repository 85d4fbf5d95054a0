"""A tiny pipeline over notes, whose text says what shall become of them, for drills."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from lanternpipe import Context, Output, Pipeline, Reject, Retry, Skip, Topic
from lanternpipe.testing import Drill


class Note(Struct, frozen=True):
    """What comes in."""

    user: str
    text: str


class Heard(Struct, frozen=True):
    """What goes out."""

    user: str
    text: str
    at: int


class Audit(Struct, frozen=True):
    """What goes to the other topic."""

    text: str


AUDITS = Topic("audits", Audit)
LATER = 1_700_000_003  # what is to be tried later goes through from then on


def transform(note: Note, ctx: Context[Any]) -> Any:
    """Do what the first word says."""
    kind = note.text.partition(" ")[0]
    if kind == "skip":
        return Skip("unwanted")
    if kind == "old":
        return Skip("old")
    if kind == "reject":
        raise Reject("refused", field="text")
    if kind == "bug":
        raise KeyError(note.text)
    if kind == "never" or (kind == "later" and ctx.now < LATER):
        raise Retry("away")
    if kind == "none":
        return []
    heard = Heard(note.user, note.text, ctx.now)
    return [heard, Output(Audit(note.text), topic="audits")] if kind == "two" else heard


def no_samples(**_: Any) -> Any:
    """Yield nothing."""
    return iter(())


PIPELINE: Pipeline[Note, Heard] = Pipeline(
    input=Topic("notes", Note, key=lambda note: note.user),
    output=Topic("heard", Heard),
    transform=transform,
    samples=no_samples,
    also=(AUDITS,),
)
KINDS = ("say", "later", "say", "two", "skip", "old", "reject", "bug", "none")


def drill_of(*texts: str, **options: Any) -> Drill[Note, Heard]:
    """Return a drill with one note per text, of one user."""
    drill = Drill(PIPELINE, **options)
    for text in texts:
        drill.send(Note("ann", text))
    return drill


def busy_drill(count: int = 40, **options: Any) -> Drill[Note, Heard]:
    """Return a drill with notes of all kinds, of several users, and poison among them."""
    drill = Drill(PIPELINE, **options)
    for number in range(count):
        if number % 11 == 7:
            drill.send(key=b"ann", value=b"{")
        else:
            drill.send(Note("abcde"[number % 5], f"{KINDS[number % len(KINDS)]} {number}"))
    return drill
