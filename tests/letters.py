"""Dead letters as the runtime writes them, for tests of those who read them."""

from __future__ import annotations

from dataclasses import dataclass

from lanternpipe import headers
from lanternpipe.records import Headers, Place, TopicPartition
from lanternpipe.runtime.deadletter import Cause, DeadLetters
from lanternpipe.testing.fake_broker import Stored, run_of
from lanternpipe.version import VERSION

__all__ = ["DECODABLE", "VERSION", "LetterKind", "envelope"]

DECODABLE = (
    b'{"user_id": "u", "app_version": "2.3.0", "ip": "91.42.227.164", "locale": "NV", '
    b'"device_id": "d", "timestamp": 1729741922, "device_type": "iOS"}'
)
ORIGIN_MS = 1_600_000_000_123


@dataclass(frozen=True, slots=True)
class LetterKind:
    """What a letter is to be like."""

    reason: str = "invalid"
    stage: str = "decode"
    key: bytes | None = b"alice"
    value: bytes | None = b'{"user_id": "u"}'
    replays: int = 0
    cut: bool = False
    origin: str | None = None
    own: tuple[tuple[str, bytes], ...] = ()


def envelope(
    topic: str, number: int, kind: LetterKind
) -> tuple[bytes | None, bytes | None, Headers]:
    """Return key, value and headers of the letter of the event with a number."""
    at = Place(kind.origin or topic, 0, number)
    replays = [(headers.REPLAYS, b"%d" % kind.replays)] if kind.replays else []
    stored = Stored(kind.value, kind.key, ORIGIN_MS, [*kind.own, *replays])
    cause = Cause(kind.reason, kind.stage, "Reject", "app_version", "N.N.N")
    # A letter is cut where the topic takes no more; 64 kB are kept for headers.
    writer = DeadLetters(f"{topic}.dlq", "readers", 64 * 1024 + (4 if kind.cut else 100_000))
    run = run_of(TopicPartition(at.topic, at.partition), [(at.offset, stored)])
    sent = writer.envelope(run, [0], [cause])
    assert sent.headers is not None
    return sent.keys[0], sent.values[0], sent.headers[0] or []
