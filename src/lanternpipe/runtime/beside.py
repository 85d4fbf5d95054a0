"""Work that is done beside the loop, again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeatedly(call: Callable[[], None], seconds: float, name: str) -> Iterator[None]:
    """Call within the block every so many seconds, in a thread of that name."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(seconds):
            call()

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        yield
    finally:
        stop.set()
