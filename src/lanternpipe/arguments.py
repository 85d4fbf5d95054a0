"""What the command line's arguments mean: each function reads one kind or raises ValueError."""

from __future__ import annotations

import math
from datetime import datetime

from lanternpipe.records import Place


def rate(text: str) -> float | None:
    """Return a number per second, or None for as many as possible."""
    return None if text == "max" else positive(text)


def count(text: str) -> int:
    """Return a number of things, at least one."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def share(text: str) -> float:
    """Return a share from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError(text)
    return number


def positive(text: str) -> float:
    """Return a number above 0 that is not infinite."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


def place(text: str) -> Place:
    """Return the place of a record."""
    return Place.parse(text)


def time(text: str) -> int:
    """Return a time in milliseconds since 1970, as Kafka has it."""
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return round(moment.timestamp() * 1_000)


# argparse names the function in its message: "invalid share value".
share.__name__, positive.__name__ = "share (0 to 1)", "positive number"
place.__name__ = "place (TOPIC/PARTITION/OFFSET)"
time.__name__ = "time (2026-01-31T08:00:00Z, or milliseconds since 1970)"
rate.__name__, count.__name__ = "rate (above 0, or max)", "count (1 or more)"
