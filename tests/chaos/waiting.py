"""Wait for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

from lanternpipe.errors import KafkaFailure

LOOK_EVERY = 0.05


def until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until a condition holds, and return how many seconds that took.

    A broker that does not answer means that it does not hold yet. Fails by the deadline, saying
    what was waited for.
    """
    began = time.monotonic()
    while True:
        try:
            if condition():
                return time.monotonic() - began
        except KafkaFailure:
            pass
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(LOOK_EVERY)
