"""Log lines by structlog: JSON on standard output, readable on a terminal, times in UTC.

A line holds what the catalogue allows for its event and nothing else, so that no value of a record
gets into a log by accident. Repeats are left out and counted. Written by a thread where asked for:
a full pipe then costs lines, which are counted, and never stops the loop.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TextIO

import structlog

from lanternpipe.settings import LogSettings
from lanternpipe.telemetry.catalogue import COMMON_LOG_FIELDS, LOG_LINES

QUEUE_LINES = 1_000
CLOSE_SECONDS = 1.0
# Of the same event with the same code or kind: so many within so many seconds.
REPEATS = 5
REPEAT_SECONDS = 10.0
SAME = ("code", "kind", "cause", "error", "client", "partition")


class PipelineLog:
    """Writes log lines; a ``Log``, as the parts of a pipeline take it.

    Args:
        settings: Level and format.
        service: Which program speaks, as ``service`` in every line.
        stream: Where to; standard output by default.
        background: Whether a thread writes, so that a blocked stream blocks nobody.
        clock: Monotonic seconds.

    Attributes:
        written: Lines by level.
        suppressed: Repeats that were left out.
        dropped: Lines that were lost because the stream was blocked.
    """

    def __init__(
        self,
        settings: LogSettings,
        *,
        service: str,
        stream: TextIO | None = None,
        background: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.written: Counter[str] = Counter()
        self.suppressed = self.dropped = 0
        self._stream = stream or sys.stdout
        self._clock = clock
        self._level = logging.getLevelName(settings.level.upper())
        self._repeats: dict[tuple[str, ...], _Repeat] = {}
        self._lock = threading.Lock()
        self._queue: queue.Queue[str | None] | None = None
        self._thread: threading.Thread | None = None
        if background:
            self._queue = queue.Queue(QUEUE_LINES)
            self._thread = threading.Thread(target=self._write_queued, name="log", daemon=True)
            self._thread.start()
        on_terminal = self._stream.isatty()
        console = settings.format == "console" or (settings.format == "auto" and on_terminal)
        self._common = {} if console else {"service": service}
        self._processors: list[Any] = [
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=on_terminal)
            if console
            else structlog.processors.JSONRenderer(),
        ]

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        """Log ``event``, a name of the catalogue."""
        if logging.getLevelName(level.upper()) < self._level:
            return
        if level != "info":
            with self._lock:
                left_out = self._left_out(event, fields)
            if left_out is None:
                return
            fields["suppressed"] = left_out or None
        self._write(level, event, fields)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Write what waits, for at most so many seconds."""
        if self._queue is None or self._thread is None:
            return
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        allowed = LOG_LINES[event].fields | COMMON_LOG_FIELDS if event in LOG_LINES else ()
        line: Any = {
            **self._common,
            **{key: each for key, each in fields.items() if each is not None and key in allowed},
            "event": event,
            "level": level,
        }
        for process in self._processors:
            line = process(None, level, line)
        self.written[level] += 1
        if self._queue is None:
            print(line, file=self._stream, flush=True)
            return
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def _left_out(self, event: str, fields: dict[str, Any]) -> int | None:
        """Return how many like this one were left out before; None if this one is, too."""
        key = (event, *(str(fields[name]) for name in SAME if name in fields))
        now, found = self._clock(), self._repeats.get(key)
        if found is None or now - found.since >= REPEAT_SECONDS:
            self._repeats[key] = _Repeat(now)
            return found.left_out if found else 0
        found.lines += 1
        if found.lines <= REPEATS:
            return 0
        found.left_out += 1
        self.suppressed += 1
        return None

    def _write_queued(self) -> None:
        assert self._queue is not None
        while (line := self._queue.get()) is not None:
            try:
                print(line, file=self._stream, flush=True)
            except (OSError, ValueError):  # nobody reads any more, or it is closed
                self.dropped += 1


class _Repeat:
    """What has become of lines that are alike, since a moment."""

    __slots__ = ("left_out", "lines", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.lines = 1
        self.left_out = 0
