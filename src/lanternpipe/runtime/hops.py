"""What a record carries from hop to hop: through retry topics, dead letters and back. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from lanternpipe import headers
from lanternpipe.records import Headers, Records

_NUMBER = re.compile(rb"[0-9]{1,18}")
# What each of our headers can be at most; anybody may have written them.
_CREDIBLE = {
    headers.EVENT_ID: re.compile(rb"[!-~]{1,300}"),
    headers.ORIGIN_TOPIC: re.compile(rb"[A-Za-z0-9._-]{1,249}"),
    headers.ORIGIN_PARTITION: re.compile(rb"[0-9]{1,9}"),
    headers.ORIGIN_OFFSET: _NUMBER,
    headers.ORIGIN_TIMESTAMP: _NUMBER,
    headers.ATTEMPT: re.compile(rb"[0-9]{1,8}"),
    headers.REPLAYS: re.compile(rb"[0-9]{1,8}"),
    headers.RETRY_DUE: _NUMBER,
    headers.RETRY_TIER: re.compile(rb"[0-9]{1,3}"),
}
_ORIGIN = (*headers.ORIGIN, headers.ORIGIN_TIMESTAMP)


def credible(own: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what can be believed of headers with our names; an origin is whole or none."""
    kept = {
        name: own[name] for name, form in _CREDIBLE.items() if form.fullmatch(own.get(name, b""))
    }
    if any(name not in kept for name in _ORIGIN):
        for name in _ORIGIN:
            kept.pop(name, None)
    return kept


def has_hopped(records: Records) -> bool:
    """Tell whether any record carries headers of ours, as after a replay to the input topic."""
    if records.headers is None:
        return False
    return any(
        name.startswith(headers.PREFIX)
        for carried in filter(None, records.headers)
        for name, _ in carried
    )


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
    parted = [(foreign, credible(own)) for foreign, own in parted]
    timestamps = [
        number(own.get(headers.ORIGIN_TIMESTAMP), stamp)
        for (_, own), stamp in zip(parted, records.timestamps, strict=True)
    ]
    return replace(
        records,
        timestamps=timestamps,
        headers=[headers.without_dialects(foreign) or None for foreign, _ in parted],
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
