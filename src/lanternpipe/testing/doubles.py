"""A log and a clock for tests."""

from __future__ import annotations

from typing import Any


class LogBook:
    """A log that remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        """Remember one line."""
        self.lines.append((level, event, fields))

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of all lines of one name."""
        return [fields for _, name, fields in self.lines if name == event]


class Clock:
    """A clock that moves when told to; as a pause, waiting moves it."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def pause(self, seconds: float) -> None:
        """Wait, which takes no time."""
        self.now += seconds
