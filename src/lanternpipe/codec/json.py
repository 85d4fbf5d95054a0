"""Compact UTF-8 JSON, validated against a ``msgspec.Struct`` while it is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from lanternpipe.errors import Reject

Event = TypeVar("Event")

# What msgspec says, less everything that could be a value of the record.
_EXPECTED = re.compile(r"^Expected (`[^`]+`(?: of length [<>=]+ \d+| [<>=]+ -?\d+)?)")
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `([^`]+)`")


class JsonCodec(Generic[Event]):
    """Decodes and encodes the events of one type.

    Numbers sent as strings of digits are read as numbers, since real senders do that. Unknown
    fields are tolerated and not kept.
    """

    def __init__(self, event: type[Event]) -> None:
        self.event = event
        self.decode: Callable[[Any], Event] = msgspec.json.Decoder(event, strict=False).decode
        self.encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode

    def explain(self, value: bytes | None, error: BaseException) -> Reject:
        """Say why ``decode(value)`` raised ``error``, without a value of the record.

        Reasons: ``tombstone``, ``empty``, ``undecodable`` (no JSON in UTF-8), ``invalid`` (JSON
        of another shape; ``field`` and ``limit`` tell where and what was expected).
        """
        if value is None:
            return Reject("tombstone")
        if not value:
            return Reject("empty")
        if not isinstance(error, msgspec.ValidationError):
            return Reject("undecodable")
        text = str(error)
        path = _PATH.search(text)
        where = path.group(1) if path else ""
        if missing := _MISSING.search(text):
            field = f"{where}.{missing.group(1)}" if where else missing.group(1)
            return Reject("invalid", field=field, limit="required")
        expected = _EXPECTED.search(text)
        return Reject(
            "invalid",
            field=where or None,
            limit=expected.group(1).replace("`", "") if expected else None,
        )
