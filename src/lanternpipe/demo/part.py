"""A thread that remembers how it ended."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Part:
    """Runs a loop in a thread until it is told to stop.

    A daemon: a loop that hangs does not keep the process from ending.

    Args:
        name: For people who look at threads.
        loop: Ends soon after the function that it is given returns true.

    Attributes:
        error: What ended the loop before its time.
    """

    def __init__(self, name: str, loop: Callable[[Callable[[], bool]], None]) -> None:
        self.name = name
        self.error: Exception | None = None
        self._loop = loop
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the loop still runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, seconds: float) -> bool:
        """Ask the loop to stop; tell whether it did so within ``seconds``."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self.alive

    def _run(self) -> None:
        try:
            self._loop(self._stop.is_set)
        except Exception as error:  # noqa: BLE001  # raised again by whoever waits for the parts
            self.error = error
