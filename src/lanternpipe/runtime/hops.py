"""What a record carries from hop to hop: through retry topics, dead letters and back. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from lanternpipe import headers
from lanternpipe.records import Headers, Records

_NUMBER = re.compile(rb"[0-9]{1,18}")


def split(given: Headers) -> tuple[Headers, dict[str, bytes]]:
    """Part headers into those of others, and our own.

    The event's id counts as both: it goes with the event wherever that goes.
    """
    foreign: Headers = []
    own: dict[str, bytes] = {}
    for name, content in given:
        if name.startswith(headers.PREFIX):
            own[name] = content or b""
        if not name.startswith(headers.PREFIX) or name == headers.EVENT_ID:
            foreign.append((name, content))
    return foreign, own


def unwrapped(records: Records) -> Records:
    """Return records of a retry or replay topic as they were in the input topic.

    Their time is that of the event, and what former hops said of them is set apart, so that it
    does not reach the output.
    """
    given = records.headers or [None] * len(records)
    parted = [split(each or []) for each in given]
    timestamps = [
        number(own.get(headers.ORIGIN_TIMESTAMP), stamp)
        for (_, own), stamp in zip(parted, records.timestamps, strict=True)
    ]
    return replace(
        records,
        timestamps=timestamps,
        headers=[foreign or None for foreign, _ in parted],
        carried=dict(zip(records.offsets, (own for _, own in parted), strict=True)),
    )


def provenance(records: Records, place: int, own: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the headers that tell which event this is and where it was first seen.

    Args:
        records: The run.
        place: Of the record.
        own: What former hops said of it.
    """
    source, offset = records.source, records.offsets[place]
    here = {
        headers.EVENT_ID: f"{source}/{offset}",
        headers.ORIGIN_TOPIC: source.topic,
        headers.ORIGIN_PARTITION: str(source.partition),
        headers.ORIGIN_OFFSET: str(offset),
        headers.ORIGIN_TIMESTAMP: str(records.timestamps[place]),
    }
    told = {name: own.get(name) or text.encode() for name, text in here.items()}
    if replays := own.get(headers.REPLAYS):
        told[headers.REPLAYS] = replays
    return told


def attempts(own: Mapping[str, bytes]) -> int:
    """Return how often former hops have tried a record."""
    return number(own.get(headers.ATTEMPT), 0)


def ready(records: Records, now_ms: float) -> int:
    """Return how many records of a retry topic are due; those behind the first that is not wait."""
    for place, offset in enumerate(records.offsets):
        if due(records, offset) > now_ms:
            return place
    return len(records)


def due(records: Records, offset: int) -> int:
    """Return when a record may be tried again, in milliseconds since 1970; 0 where nobody says."""
    return number(records.carried.get(offset, {}).get(headers.RETRY_DUE), 0)


def number(content: bytes | None, other: int) -> int:
    """Read a decimal number; ``other`` where there is none, or one that is none of Kafka's."""
    return int(content) if content and _NUMBER.fullmatch(content) else other
