"""Ends the process when a call into the client never returns."""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import sys
import threading
import time
from types import TracebackType

EXIT_HUNG = 70  # EX_SOFTWARE
LATE = 1.0  # seconds by which a thread may wake too late on a busy machine


class Deadline:
    """A limit for calls that may hang for ever in spite of the time-out they were given.

    Used as a context manager around each such call. One thread watches; entering and leaving
    cost a fraction of a microsecond. A process that hangs is worse than one that ends: it still
    sends heartbeats, so nobody takes over its partitions.

    Attributes:
        seconds: The limit.
        looks: How often the thread has looked, about once a second; stands still while the
            process is frozen.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.looks = 0
        self._pause = min(1.0, seconds / 4)
        self._entered: float | None = None
        self._excused = -math.inf
        self._thread: threading.Thread | None = None
        self._looked = (0.0, 0.0)  # when, and how long the process had been frozen by then

    @property
    def frozen(self) -> float:
        """How long the process has stood still in all, in seconds, as after SIGSTOP."""
        if self._thread is None:
            return 0.0
        looked, frozen = self._looked
        late = time.monotonic() - looked - self._pause
        return frozen + late if late > LATE else frozen

    def __enter__(self) -> None:
        self._entered = time.monotonic()
        if self._thread is None:
            self._looked = time.monotonic(), 0.0
            self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
            self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered = None

    def waited(self) -> float:
        """Return for how many seconds the call has been going on that is being made."""
        entered = self._entered
        return 0.0 if entered is None else time.monotonic() - entered

    def excuse(self) -> None:
        """Give the call all its time once more: what it waits for is known, and may come."""
        self._excused = time.monotonic()

    def _watch(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._pause)
            self._looked = time.monotonic(), self.frozen
            self.looks += 1
            unexcused = min(self.waited(), time.monotonic() - self._excused)
            if unexcused > self.seconds:
                end_process(
                    EXIT_HUNG,
                    f"a call into the Kafka client has not returned for {self.seconds:g} s; "
                    "ending the process so that another can take over",
                    stacks=True,
                )


def end_process(code: int, reason: str, *, stacks: bool = False) -> None:
    """End the process at once, saying why, and with ``stacks`` where every thread stands.

    A polite exit might hang in the very call that made this necessary.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"lanternpipe: {reason}\n")
        sys.stderr.flush()
    if stacks:
        dump_stacks()
    os._exit(code)


def dump_stacks() -> None:
    """Write on standard error where every thread stands."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        sys.stderr.flush()
