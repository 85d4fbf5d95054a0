"""Start and stop: signals, and a limit for how long a clean stop may take."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lanternpipe.runtime.watchdog import end_process

EXIT_STOP_TIMED_OUT = 75  # EX_TEMPFAIL: nothing is lost, the next start goes on


class StopRequest:
    """Becomes true when the process is asked to end.

    A second request, or a clean stop that takes longer than ``grace`` seconds, ends the process
    at once: uncommitted work is done again by whoever comes next.

    Args:
        grace: Seconds for a clean stop.
        on_stop: Called at the first request, in a thread of its own.
    """

    def __init__(self, grace: float, on_stop: Callable[[], None] = lambda: None) -> None:
        self._grace = grace
        self._on_stop = on_stop
        self._asked = threading.Event()
        self._done = threading.Event()

    def __call__(self) -> bool:
        """Tell whether a stop has been requested."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for a request; tell whether one has come."""
        return self._asked.wait(seconds)

    def ask(self) -> None:
        """Request a stop."""
        if self._asked.is_set():
            return
        self._asked.set()
        # Nothing else here: a signal may come while the main thread holds a lock, the log's too.
        threading.Thread(target=self._limit, name="stop-limit", daemon=True).start()
        threading.Thread(target=self._on_stop, name="stop-asked", daemon=True).start()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Request a stop at SIGTERM and SIGINT within the block."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            if self._asked.is_set():
                end_process(EXIT_STOP_TIMED_OUT, "asked to stop twice; ending at once")
            self.ask()

        before = {
            number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            self._done.set()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _limit(self) -> None:
        if not self._done.wait(self._grace):
            end_process(
                EXIT_STOP_TIMED_OUT,
                f"a clean stop took longer than {self._grace:g} s; ending at once. "
                "What was not committed will be processed again",
            )
