"""One dead letter as it is read again: the record that failed, and what its headers tell. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lanternpipe import headers
from lanternpipe.records import Headers, Place, Records

UNREADABLE = "unreadable"
UNKNOWN = "unknown"
PARTS = ("headers", "key", "value")  # what a letter may have lost for being too large


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes:
        place: Where it is.
        timestamp: When it was written, in milliseconds since 1970.
        key: Key bytes of the record, or None.
        value: Value bytes of the record, None for a tombstone.
        record_headers: All its headers in their order, those of the record first.
        readable: Whether the client could read its headers.
    """

    place: Place
    timestamp: int
    key: bytes | None
    value: bytes | None
    record_headers: Headers
    readable: bool = True

    @property
    def headers(self) -> dict[str, bytes | None]:
        """Its headers by name; of several with one name, the last."""
        return dict(self.record_headers)

    def told(self, name: str) -> str | None:
        """Return a header as text."""
        content = self.headers.get(name)
        return None if content is None else content.decode("utf-8", "backslashreplace")

    @property
    def reason(self) -> str:
        """Why the record could not be processed."""
        if not self.readable:
            return UNREADABLE
        return self.told(headers.ERROR_KIND) or UNKNOWN

    @property
    def stage(self) -> str:
        """Where it failed: ``decode``, ``transform``, ``encode`` or ``produce``."""
        return self.told(headers.STAGE) or UNKNOWN

    @property
    def version(self) -> str:
        """The version of Lanternpipe that wrote the letter."""
        return self.told(headers.VERSION) or UNKNOWN

    @property
    def error(self) -> str | None:
        """Class of the exception, or the broker's code."""
        return self.told(headers.ERROR_CLASS)

    @property
    def field(self) -> str | None:
        """Path of the offending field."""
        return self.told(headers.ERROR_FIELD)

    @property
    def limit(self) -> str | None:
        """What the field should have been."""
        return self.told(headers.ERROR_LIMIT)

    @property
    def frames(self) -> tuple[str, ...]:
        """Where an unexpected exception came from, innermost last."""
        return tuple((self.told(headers.ERROR_FRAMES) or "").splitlines())

    @property
    def event_id(self) -> str | None:
        """The event's name through all its hops."""
        return self.told(headers.EVENT_ID)

    @property
    def origin(self) -> Place | None:
        """Where the record was first seen."""
        try:
            return Place.parse("/".join(self.told(name) or "" for name in headers.ORIGIN))
        except ValueError:
            return None

    @property
    def attempt(self) -> int:
        """How often the record has been tried in all."""
        return self._number(headers.ATTEMPT, 1)

    @property
    def replays(self) -> int:
        """How often the record had been replayed before it became this letter."""
        return self._number(headers.REPLAYS, 0)

    @property
    def cut(self) -> tuple[str, ...]:
        """What the letter does not hold in full: ``headers``, ``key`` or ``value``."""
        held = self.headers
        return tuple(part for part in PARTS if headers.cut_bytes(part) in held)

    def _number(self, name: str, default: int) -> int:
        text = self.told(name) or ""
        # Anybody may have written it.
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def letters_of(run: Records) -> list[Letter]:
    """Return the letters of a run of records."""
    return [
        Letter(
            Place(*run.source, offset),
            run.timestamps[at],
            run.keys[at],
            run.values[at],
            (run.headers[at] if run.headers else None) or [],
            offset not in run.unreadable,
        )
        for at, offset in enumerate(run.offsets)
    ]
