"""Dead letters: the original record untouched, plus headers that say what went wrong. Pure."""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath
from types import TracebackType

from lanternpipe import headers
from lanternpipe.errors import Reject
from lanternpipe.records import TRACEPARENT, Headers, Outgoing, Records, wire_bytes
from lanternpipe.runtime.dialects import DIALECTS
from lanternpipe.runtime.hops import attempts, credible, provenance, split
from lanternpipe.version import VERSION

MAX_FRAMES = 12
MAX_TEXT = 4_000  # bytes of any one header
# Room for our headers, at most: frames and text, and what the broker adds to a record.
HEADER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a record cannot be processed.

    Attributes:
        kind: What a person does about it: ``undecodable``, ``invalid``, ``tombstone``, ``empty``,
            ``bug`` (an exception that nobody expected), ``too_large``, ``unproducible`` (the
            broker refuses the output), ``retries_exhausted``, or the reason of a ``Reject``.
        stage: ``decode``, ``transform``, ``encode`` or ``produce``.
        error: Class of the exception, or the broker's code.
        field: Path of the offending field.
        limit: What the field should have been.
        frames: Where an unexpected exception came from, innermost last.
        text: The exception's own text; it may hold values of the record.
        traceparent: Of the span that tells of it, where there is one.
        attempts: How often this process has tried the record in a row.
    """

    kind: str
    stage: str
    error: str
    field: str | None = None
    limit: str | None = None
    frames: tuple[str, ...] = ()
    text: str = ""
    traceparent: bytes | None = None
    attempts: int = 1

    @classmethod
    def of(cls, error: BaseException, stage: str) -> Cause:
        """Describe an exception raised by user code or codec."""
        if isinstance(error, Reject):
            field, limit = error.field, error.limit
            return cls(
                str(error.reason),
                stage,
                "Reject",
                None if field is None else str(field),
                None if limit is None else str(limit),
            )
        try:
            text = str(error)
        except Exception:  # noqa: BLE001  # the user's own class may fail at this, too
            text = ""
        name = type(error).__qualname__
        return cls("bug", stage, name, frames=frames(error.__traceback__), text=text)


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Writes the envelope of dead letters.

    Attributes:
        topic: Where they go.
        group: The consumer group that gave up on the records.
        max_bytes: The largest letter that the topic takes; a value that does not fit is cut.
        full_detail: Whether the exception's text is added; it may hold personal data.
        dialects: Whose names are given in addition, as in ``dialects.DIALECTS``.
    """

    topic: str
    group: str
    max_bytes: int
    full_detail: bool = False
    dialects: Sequence[str] = ()

    def envelope(
        self, records: Records, places: Sequence[int], causes: Sequence[Cause]
    ) -> Outgoing:
        """Return the dead letters for the records at ``places``.

        Key, value and headers are the original ones; only what the topic would refuse is cut (of
        headers, all are left out), and its size and hash are told. The timestamp is left to the
        broker: with the original one, retention would delete an old record's letter at once. A
        ``traceparent`` is replaced by that of the span that tells of the failure.
        """
        columns: list[Headers | None] = []
        keys: list[bytes | None] = []
        values: list[bytes | None] = []
        for place, cause in zip(places, causes, strict=True):
            original = (records.headers[place] if records.headers else None) or []
            added = self._headers(records, place, original, cause)
            if cause.traceparent is not None:
                original = [each for each in original if each[0] != TRACEPARENT]
                added.append((TRACEPARENT, cause.traceparent))
            value, key = records.values[place], records.keys[place]
            size = wire_bytes(original)
            room = self.max_bytes - HEADER_BYTES - size - len(key or b"")
            if room < 0 and original:
                added += _told("headers", _content(original))
                original, room = [], room + size
            if room < 0 and key is not None:
                added += _told("key", key)
                key, room = key[:room], 0
            if value is not None and len(value) > room:
                added += _told("value", value)
                value = value[:room]
            keys.append(key)
            values.append(value)
            columns.append([*original, *added])
        return Outgoing(
            self.topic,
            keys,
            values,
            [0] * len(places),
            columns,
        )

    def _headers(self, records: Records, place: int, original: Headers, cause: Cause) -> Headers:
        _, there = split(original)
        own = {**credible(there), **records.carried.get(records.offsets[place], {})}
        said = {
            headers.GROUP: self.group,
            headers.ERROR_KIND: cause.kind,
            headers.ERROR_CLASS: cause.error,
            headers.ERROR_FIELD: cause.field,
            headers.ERROR_LIMIT: cause.limit,
            headers.ERROR_FRAMES: "\n".join(cause.frames),
            headers.ERROR_TEXT: cause.text if self.full_detail else None,
            headers.STAGE: cause.stage,
            headers.ATTEMPT: str(attempts(own) + cause.attempts),
            headers.VERSION: VERSION,
        }
        told = provenance(records, place, own) | {
            # A surrogate, as in a file name, must not keep the letter from being written.
            name: value.encode("utf-8", "backslashreplace")[:MAX_TEXT]
            for name, value in said.items()
            if value
        }
        added = [each for each in told.items() if there.get(each[0]) != each[1]]
        for dialect in self.dialects:
            added += DIALECTS[dialect](told)
        return [*added]


def _content(given: Headers) -> bytes:
    return b"".join(name.encode() + (content or b"") for name, content in given)


def _told(part: str, content: bytes) -> Headers:
    """Return headers that tell what a part was before it was cut."""
    return [
        (headers.cut_bytes(part), b"%d" % len(content)),
        (headers.cut_hash(part), sha256(content).hexdigest().encode()),
    ]


def frames(trace: TracebackType | None) -> tuple[str, ...]:
    """Return ``file:line:function`` of the innermost frames, without any values.

    File names are cut to what an import path shows, so that a letter does not tell where the
    program is installed.
    """
    return tuple(
        f"{_module_path(frame.f_code.co_filename)}:{line}:{frame.f_code.co_name}"
        for frame, line in deque(traceback.walk_tb(trace), maxlen=MAX_FRAMES)
    )


def _module_path(filename: str) -> str:
    path = PurePath(filename)
    roots = [PurePath(root) for root in sys.path if root and path.is_relative_to(root)]
    if not roots:
        return path.name
    return path.relative_to(max(roots, key=lambda root: len(root.parts))).as_posix()
