"""The outside reader: what anybody else would see of the pipeline's work, and how soon."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple, Protocol

from lanternpipe import headers
from lanternpipe.demo.following import found_at
from lanternpipe.demo.state import Letter, Seen
from lanternpipe.errors import OffsetError
from lanternpipe.ops.journey import Found
from lanternpipe.records import TRACEPARENT, Fetched, Headers, Records

READ_RECORDS = 2_000
READ_SECONDS = 0.1
# Few enough that a person can read them: the streams themselves are too fast.
EVENT_EVERY = 0.5
LETTER_EVERY = 3.0
EVENTS_KEPT = 20
FOUND_KEPT = 1_000  # of each topic, for those who follow a record
BUG = "bug"


class Reader(Protocol):
    """Reads topics from their beginning."""

    def fetch(self, max_records: int, timeout: float) -> Fetched:
        """Return up to ``max_records``, waiting up to ``timeout`` seconds for the first."""

    def close(self) -> None:
        """End."""


class Glance(NamedTuple):
    """What has been seen so far.

    Attributes:
        processed: Records on the output topic.
        dead_lettered: Records on the topic of the dead letters.
        latency: How often an event was seen so many milliseconds after it was sent; only those
            since the last glance.
        kinds: Dead letters by kind.
        letter: One of the last dead letters.
        events: Some events, newest first.
    """

    processed: int
    dead_lettered: int
    latency: Counter[int]
    kinds: Counter[str]
    letter: Letter | None
    events: tuple[Seen, ...]


class Witness:
    """Counts outputs and dead letters as they can be read, without a word from the processor.

    Args:
        output: The output topic.
        clock: Seconds since 1970.
    """

    def __init__(self, output: str, *, clock: Callable[[], float] = time.time) -> None:
        self._output = output
        self._clock = clock
        self._lock = Lock()
        self._processed = self._dead_lettered = 0
        self._latency: Counter[int] = Counter()
        self._kinds: Counter[str] = Counter()
        self._letter: Letter | None = None
        self._events: deque[Seen] = deque(maxlen=EVENTS_KEPT)
        self._outputs: deque[Found] = deque(maxlen=FOUND_KEPT)
        self._letters: deque[Found] = deque(maxlen=FOUND_KEPT)
        self._event_at = self._letter_at = float("-inf")

    @property
    def seen(self) -> int:
        """How many records have been read on both topics."""
        return self._processed + self._dead_lettered

    def glance(self) -> Glance:
        """Return what has been seen so far; safe to call from another thread."""
        with self._lock:
            latency, self._latency = self._latency, Counter()
            return Glance(
                self._processed,
                self._dead_lettered,
                latency,
                self._kinds.copy(),
                self._letter,
                tuple(self._events),
            )

    def came_out(self) -> tuple[list[Found], list[Found]]:
        """Return the last outputs that carry a trace, and the last dead letters."""
        with self._lock:
            return list(self._outputs), list(self._letters)

    def watch(self, reader: Reader, stopping: Callable[[], bool]) -> None:
        """Read until ``stopping()``.

        Raises:
            OffsetError: The broker has dropped records before they were read.
        """
        try:
            while not stopping():
                self.note(reader.fetch(READ_RECORDS, READ_SECONDS))
        finally:
            reader.close()

    def note(self, fetched: Fetched) -> None:
        """Take in what was read.

        Raises:
            OffsetError: The broker has dropped records before they were read.
        """
        if fetched.lost:
            places = ", ".join(map(str, fetched.lost))
            raise OffsetError(f"the broker has dropped records of {places} before they were read")
        now = self._clock()
        with self._lock:
            for run in fetched.runs:
                if run.source.topic == self._output:
                    self._note_outputs(run, now)
                else:
                    self._note_letters(run, now)

    def _note_outputs(self, run: Records, now: float) -> None:
        self._processed += len(run)
        traced = [
            at
            for at, own in enumerate(run.headers or ())
            if own and any(name == TRACEPARENT for name, _ in own)
        ]
        self._outputs.extend(found_at(run, at) for at in traced[-FOUND_KEPT:])
        now_ms = round(now * 1_000)
        self._latency.update(now_ms - stamp for stamp in run.timestamps if stamp)
        if now - self._event_at >= EVENT_EVERY:
            self._event_at = now
            self._events.appendleft(Seen(run.values[-1] or b"", now_ms - run.timestamps[-1]))

    def _note_letters(self, run: Records, now: float) -> None:
        self._dead_lettered += len(run)
        headers = run.headers or [None] * len(run)
        letters = [
            _letter(given or [], value) for given, value in zip(headers, run.values, strict=True)
        ]
        last = range(max(0, len(run) - FOUND_KEPT), len(run))
        self._letters.extend(found_at(run, at) for at in last)
        self._kinds.update(letter.kind for letter in letters)
        chosen = _chosen(self._letter, letters)
        first_bug = chosen.kind == BUG and self._letter is not None and self._letter.kind != BUG
        if first_bug or now - self._letter_at >= LETTER_EVERY:
            self._letter_at = now
            self._letter = chosen


def _chosen(shown: Letter | None, letters: list[Letter]) -> Letter:
    """Choose what to show: a bug in the user's own code first, else another kind than before."""
    bugs = [each for each in letters if each.kind == BUG]
    if bugs or shown is None:
        return (bugs or letters)[-1]
    if shown.kind == BUG:
        return shown
    return next((each for each in letters if each.kind != shown.kind), letters[-1])


def _letter(carried: Headers, value: bytes | None) -> Letter:
    told = {name: (content or b"").decode("utf-8", "replace") for name, content in carried}
    frames = told.get(headers.ERROR_FRAMES, "").splitlines()
    origin = (told.get(name, "?") for name in headers.ORIGIN)
    return Letter(
        kind=told.get(headers.ERROR_KIND, "unknown"),
        error=told.get(headers.ERROR_CLASS, ""),
        field=told.get(headers.ERROR_FIELD, ""),
        limit=told.get(headers.ERROR_LIMIT, ""),
        frame=frames[-1] if frames else "",
        origin="/".join(origin),
        value=value,
    )
