"""What a dead letter tells, by the names that other tools read. Pure.

Taken from the sources of those tools: Spring writes numbers as big-endian bytes
(``DeadLetterRecordManager``), Kafka Connect as text (``DeadLetterQueueReporter``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from struct import pack

from lanternpipe import headers

Told = Mapping[str, bytes]


def spring(told: Told) -> Iterator[tuple[str, bytes]]:
    """Yield the headers of Spring's ``DeadLetterPublishingRecoverer``."""
    error = told[headers.ERROR_CLASS]
    yield "kafka_dlt-original-topic", told[headers.ORIGIN_TOPIC]
    yield "kafka_dlt-original-partition", pack(">i", _number(told, headers.ORIGIN_PARTITION))
    yield "kafka_dlt-original-offset", pack(">q", _number(told, headers.ORIGIN_OFFSET))
    yield "kafka_dlt-original-timestamp", pack(">q", _number(told, headers.ORIGIN_TIMESTAMP))
    yield "kafka_dlt-original-timestamp-type", b"CreateTime"
    yield "kafka_dlt-original-consumer-group", told[headers.GROUP]
    yield "kafka_dlt-exception-fqcn", error
    yield "kafka_dlt-exception-message", _message(told)
    yield "kafka_dlt-exception-stacktrace", told.get(headers.ERROR_FRAMES, b"")
    yield "kafka_deliveryAttempt", pack(">i", _number(told, headers.ATTEMPT))


def connect(told: Told) -> Iterator[tuple[str, bytes]]:
    """Yield the headers of Kafka Connect's ``errors.deadletterqueue.context.headers.enable``."""
    prefix = "__connect.errors."
    yield f"{prefix}topic", told[headers.ORIGIN_TOPIC]
    yield f"{prefix}partition", told[headers.ORIGIN_PARTITION]
    yield f"{prefix}offset", told[headers.ORIGIN_OFFSET]
    yield f"{prefix}connector.name", told[headers.GROUP]
    yield f"{prefix}task.id", b"0"
    yield f"{prefix}stage", told[headers.STAGE].upper()
    yield f"{prefix}class.name", b"lanternpipe"
    yield f"{prefix}exception.class.name", told[headers.ERROR_CLASS]
    yield f"{prefix}exception.message", _message(told)
    yield f"{prefix}exception.stacktrace", told.get(headers.ERROR_FRAMES, b"")


DIALECTS: Mapping[str, Callable[[Told], Iterator[tuple[str, bytes]]]] = {
    "spring": spring,
    "connect": connect,
}


def _message(told: Told) -> bytes:
    """Say what a letter's own headers say; the exception's text only where they hold it."""
    if text := told.get(headers.ERROR_TEXT):
        return text
    parts = [told[headers.ERROR_KIND]]
    if field := told.get(headers.ERROR_FIELD):
        parts.append(b"field " + field)
    if limit := told.get(headers.ERROR_LIMIT):
        parts.append(b"should be " + limit)
    return b": ".join(parts)


def _number(told: Told, name: str) -> int:
    return int(told[name])
