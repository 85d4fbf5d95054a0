"""A tiny pipeline over words, whose first letters say what shall become of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lanternpipe.errors import Reject
from lanternpipe.pipeline import Context, Output, Skip
from lanternpipe.runtime.batch import Planner
from lanternpipe.runtime.deadletter import DeadLetters
from lanternpipe.runtime.outputs import OutputPlanner, OutputTopic
from lanternpipe.runtime.retry import Attempts

LIMIT = 2_000
CTX: Context[Any] = Context(1_700_000_000, None)


@dataclass(frozen=True)
class Word:
    """What comes in."""

    text: str


@dataclass(frozen=True)
class Shout:
    """What goes out."""

    text: str


@dataclass(frozen=True)
class Whisper:
    """What goes to the other topic."""

    text: str


def decode(value: Any) -> Word:
    """Read a word; poison and tombstones cannot be read."""
    if value is None or value.startswith(b"poison"):
        raise ValueError(f"cannot read {value!r}")
    return Word(value.decode())


def explain(value: bytes | None, error: Exception) -> Reject:
    """Say why it could not be read."""
    return Reject("tombstone" if value is None else "undecodable")


def encode(event: Shout | Whisper) -> bytes:
    """Write an event; what cannot be written says so."""
    if "unencodable" in event.text:
        raise TypeError(f"cannot write {event.text!r}")
    return event.text.encode()


RESULTS: dict[str, Callable[[str], Any]] = {
    "skip": lambda _: Skip("short"),
    "large": lambda text: Shout(text * LIMIT),
    "two": lambda text: [Output(Shout(text)), Output(Whisper(text), b"other", "whispers")],
    "none": lambda _: [],
    "wrong": lambda text: text,
    "elsewhere": lambda text: Output(Shout(text), topic="undeclared"),
    "textkey": lambda text: Output(Shout(text), key=text),  # type: ignore[arg-type]
    "oddtopic": lambda text: Output(Shout(text), topic=[]),  # type: ignore[arg-type]
    "wrapped": lambda text: Output(Shout(text)),
}


def transform(word: Word, ctx: Context[Any]) -> Any:
    """Do what the letters before the colon say."""
    kind = word.text.partition(":")[0]
    if kind == "reject":
        raise Reject("unwanted", field="text", limit="other text")
    if kind == "bug":
        raise KeyError(word.text)
    return RESULTS.get(kind, Shout)(word.text)


def word_planner(**parts: Any) -> Planner:
    """Return a planner of the words' pipeline, with other parts where given."""
    ours = {
        "decode": decode,
        "explain": explain,
        "transform": transform,
        "outputs": OutputPlanner(
            OutputTopic("shouts-v2", Shout, encode, LIMIT),
            "shouts",
            {"whispers": OutputTopic("whispers-v2", Whisper, encode, LIMIT)},
        ),
        "retry": Attempts(first=1.0, longest=4.0, most=3, random=lambda: 1.0),
        "dead_letters": DeadLetters("words.dlq", "readers", max_bytes=1_000_000),
    }
    return Planner(**{**ours, **parts})
