"""What a real Alertmanager holds over the time of a run: when each alert came, and when it went."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from tests.stack.install import StackError

if TYPE_CHECKING:
    from tests.stack.alertmanager import Alert, Alertmanager

LOOK_EVERY = 0.2


@dataclass
class Episode:
    """One alert from when it was first seen until it was no longer there.

    Attributes:
        alert: As it was first seen.
        began: Monotonic seconds.
        ended: Likewise; None while it is there.
    """

    alert: Alert
    began: float
    ended: float | None = None


class AlertWatch:
    """Looks at an Alertmanager again and again, and keeps book.

    Args:
        alertmanager: Which.
    """

    def __init__(self, alertmanager: Alertmanager) -> None:
        self._alertmanager = alertmanager
        self._episodes: list[Episode] = []
        self._there: dict[frozenset[tuple[str, str]], Episode] = {}
        self._lock = Lock()

    def episodes(self, since: float = 0.0) -> list[Episode]:
        """Return what there was at or after a moment, oldest first."""
        with self._lock:
            return [each for each in self._episodes if (each.ended or time.monotonic()) >= since]

    def there(self) -> list[Episode]:
        """Return what is there now."""
        with self._lock:
            return list(self._there.values())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep book within the block."""
        done = Event()

        def watch() -> None:
            while not done.wait(LOOK_EVERY):
                with suppress(OSError, http.client.HTTPException, StackError):
                    self.look()

        thread = Thread(target=watch, name="alert-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def look(self) -> None:
        """Look once."""
        found = {frozenset(each.labels.items()): each for each in self._alertmanager.alerts()}
        now = time.monotonic()
        with self._lock:
            for key in self._there.keys() - found.keys():
                self._there.pop(key).ended = now
            for key in found.keys() - self._there.keys():
                self._there[key] = Episode(found[key], now)
                self._episodes.append(self._there[key])
