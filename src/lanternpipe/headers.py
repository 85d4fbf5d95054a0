"""The headers that a pipeline writes: their names, which others may rely on.

A record that fails carries them to the retry topics, the dead letters and back; what leaves by the
output topic has none of them but the event's id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

PREFIX: Final = "pipeline-"

# The event's name through all its hops: `topic/partition/offset` of its first record.
EVENT_ID: Final = "pipeline-event-id"

# Where the event was first seen, and when: decimal numbers, milliseconds since 1970.
ORIGIN_TOPIC: Final = "pipeline-origin-topic"
ORIGIN_PARTITION: Final = "pipeline-origin-partition"
ORIGIN_OFFSET: Final = "pipeline-origin-offset"
ORIGIN_TIMESTAMP: Final = "pipeline-origin-timestamp"
ORIGIN: Final = (ORIGIN_TOPIC, ORIGIN_PARTITION, ORIGIN_OFFSET)

# Who gave up on it, and why.
GROUP: Final = "pipeline-group"
VERSION: Final = "pipeline-version"
STAGE: Final = "pipeline-stage"
ERROR_KIND: Final = "pipeline-error-kind"
ERROR_CLASS: Final = "pipeline-error-class"
ERROR_FIELD: Final = "pipeline-error-field"
ERROR_LIMIT: Final = "pipeline-error-limit"
ERROR_FRAMES: Final = "pipeline-error-frames"
ERROR_TEXT: Final = "pipeline-error-text"

# How often it has been tried in all.
ATTEMPT: Final = "pipeline-attempt"

# In a retry topic: when it is due, in milliseconds since 1970, and through how many it has come.
RETRY_DUE: Final = "pipeline-retry-due"
RETRY_TIER: Final = "pipeline-retry-tier"

# How often its letter has been sent back to be processed again.
REPLAYS: Final = "pipeline-replays"


# How the names begin that letters hold for other tools' sake, of Spring and of Kafka Connect.
DIALECTS: Final = ("kafka_dlt-", "kafka_deliveryAttempt", "__connect.errors.")


def without_dialects(
    given: Iterable[tuple[str, bytes | None]],
) -> list[tuple[str, bytes | None]]:
    """Return headers without those that are there for other tools' sake."""
    return [each for each in given if not each[0].startswith(DIALECTS)]


def cut_bytes(part: str) -> str:
    """Return the header that tells how large a part (headers, key or value) was before the cut."""
    return f"{PREFIX}{part}-bytes"


def cut_hash(part: str) -> str:
    """Return the header that tells the SHA-256 of a part before the cut, in hexadecimal digits."""
    return f"{PREFIX}{part}-sha256"
