"""What the demo's parts log: kept for the board, handed on where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lanternpipe.ports import Log

SERIOUS = ("warning", "error")
# The demo breaks records on purpose, and shows them.
EXPECTED = "records_dead_lettered"


class Notes:
    """A ``Log`` that remembers the last warning or error, and drops the rest.

    Args:
        forward: Gets the warnings and errors as well, but for the time of ``silently``.

    Attributes:
        last: The last warning or error as text, or nothing.
    """

    def __init__(self, forward: Log) -> None:
        self.last = ""
        self._forward = forward
        self._silent = False

    @contextmanager
    def silently(self) -> Iterator[None]:
        """Hand nothing on within the block: a board is shown that lines would tear."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        """Take one log line."""
        if level not in SERIOUS or (event == EXPECTED and level != "error"):
            return
        told = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
        self.last = f"{level}: {event} {told}".strip()
        if not self._silent:
            self._forward(level, event, **fields)
