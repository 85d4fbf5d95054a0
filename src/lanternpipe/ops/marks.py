"""Marks: which dead letters have been replayed. Pure.

A mark is a record of the compacted topic of marks. Its key is the letter's place; it is written in
the same transaction as the replayed record, so that there is one exactly where there is the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lanternpipe.letter import Letter
from lanternpipe.records import Outgoing, Place, Records


class Mark(NamedTuple):
    """What is known of a letter's last replay.

    Attributes:
        at: When, in milliseconds since 1970.
        to: The topic that the record was written to.
        run: Which run of the command it was.
        replays: How often the record has been replayed by then.
        letter: The letter's timestamp.
    """

    at: int = 0
    to: str = ""
    run: str = ""
    replays: int = 1
    letter: int | None = None


class Marks:
    """All marks, as read from their topic.

    Kept as the bytes that were read: there may be as many as there are letters.
    """

    def __init__(self) -> None:
        self._found: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._found)

    def read(self, runs: Iterable[Records]) -> Marks:
        """Take marks in, later ones in place of earlier ones; one without value takes one away."""
        for run in runs:
            for key, value in zip(run.keys, run.values, strict=True):
                if key is None:
                    continue
                if value is None:
                    self._found.pop(key, None)
                else:
                    self._found[key] = value
        return self

    def of(self, letter: Letter) -> Mark | None:
        """Return the mark of a letter; None while it waits to be decided about."""
        found = self._found.get(key_of(letter.place))
        if found is None:
            return None
        mark = _parsed(found)
        # Offsets begin anew when the topic is deleted and made again: then the mark is another's.
        return mark if mark.letter in {None, letter.timestamp} else None


def key_of(place: Place) -> bytes:
    """Return the key of a letter's mark."""
    return str(place).encode()


def marks_to_write(topic: str, letters: Sequence[Letter], marks: Iterable[Mark]) -> Outgoing:
    """Return the marks of letters, to be written with the replayed records."""
    values: list[bytes | None] = [
        json.dumps(mark._asdict(), separators=(",", ":")).encode() for mark in marks
    ]
    keys: list[bytes | None] = [key_of(letter.place) for letter in letters]
    return Outgoing(topic, keys, values, [0] * len(letters))


def _parsed(value: bytes) -> Mark:
    """Return a mark; one that cannot be read still says that there was a replay."""
    try:
        told = json.loads(value)
        letter = told.get("letter")
        return Mark(
            int(told["at"]),
            str(told["to"]),
            str(told["run"]),
            int(told["replays"]),
            None if letter is None else int(letter),
        )
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return Mark()
