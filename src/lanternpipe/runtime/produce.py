"""The producer's loop: sends events when they are due, whether or not earlier ones arrived."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

CHUNK = 500  # events between looks at the clock when the rate is unlimited
TICK = 0.005  # seconds between looks at the clock otherwise
PROGRESS_EVERY = 0.5


class Send(Protocol):
    """Sends one sample, waiting while the queue is full."""

    def __call__(self, sample: Any) -> None:
        """Send it."""


def due(elapsed: float, rate: float, sent: int, count: int | None) -> int:
    """Return how many events should leave now, on a schedule that never waits for answers.

    Args:
        elapsed: Seconds since the start.
        rate: Events per second.
        sent: How many have left.
        count: How many shall leave in all; None for no end.
    """
    scheduled = int(elapsed * rate) + 1
    if count is not None:
        scheduled = min(scheduled, count)
    return max(0, scheduled - sent)


def produce(
    samples: Iterator[Any],
    send: Send,
    *,
    rate: float | None,
    count: int | None,
    seconds: float | None,
    stopping: Callable[[], bool],
    progress: Callable[[int, float], None],
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Send samples until ``count``, ``seconds``, their end or ``stopping``; return how many.

    Args:
        samples: What to send.
        send: Sends one.
        rate: Events per second; None for as fast as possible.
        count: How many at most.
        seconds: How long; with a rate, everything that is due by then is still sent.
        stopping: Whether to end early.
        progress: Told of the number sent and the seconds since the start, twice a second.
        clock: Monotonic seconds.
        pause: Waits up to so many seconds.
    """
    if rate is not None and seconds is not None:
        scheduled = round(rate * seconds)
        count = scheduled if count is None else min(count, scheduled)
    began = told = clock()
    sent = 0
    while not stopping():
        now = clock()
        elapsed = now - began
        if now - told >= PROGRESS_EVERY:
            told = now
            progress(sent, elapsed)
        if rate is not None:
            # In chunks as well, so that a stop request is heard while catching up.
            wanted = min(CHUNK, due(elapsed, rate, sent, count))
        elif seconds is not None and elapsed >= seconds:
            break
        else:
            wanted = CHUNK if count is None else min(CHUNK, count - sent)
        given = 0
        for sample in islice(samples, wanted):
            send(sample)
            given += 1
        sent += given
        if given < wanted or (count is not None and sent >= count):
            break
        if rate is not None and wanted < CHUNK:
            pause(TICK)
    progress(sent, clock() - began)
    return sent
