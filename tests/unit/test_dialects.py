"""A dead letter by the names of other tools."""

from __future__ import annotations

from struct import unpack

from lanternpipe.headers import without_dialects
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.deadletter import Cause, DeadLetters
from lanternpipe.testing.fake_broker import Stored, run_of

HERE = TopicPartition("logins", 5)


def letter(*dialects: str) -> dict[str, bytes]:
    """Return the headers of a dead letter."""
    cause = Cause("invalid", "decode", "Reject", "ip", "required", attempts=2)
    letters = DeadLetters("logins.dlq", "readers", 100_000, dialects=dialects)
    sent = letters.envelope(run_of(HERE, [(42, Stored(b"v", b"k", 1_700))]), [0], [cause])
    assert sent.headers is not None
    return {name: content or b"" for name, content in sent.headers[0] or []}


def test_without_dialects_only_our_own_names_are_written() -> None:
    """By default nothing is said twice."""
    assert not [name for name in letter() if not name.startswith("pipeline-")]


def test_spring() -> None:
    """Numbers are big-endian, as Spring's own readers expect."""
    told = letter("spring")
    assert told["kafka_dlt-original-topic"] == b"logins"
    assert unpack(">i", told["kafka_dlt-original-partition"]) == (5,)
    assert unpack(">q", told["kafka_dlt-original-offset"]) == (42,)
    assert unpack(">q", told["kafka_dlt-original-timestamp"]) == (1_700,)
    assert told["kafka_dlt-original-timestamp-type"] == b"CreateTime"
    assert told["kafka_dlt-original-consumer-group"] == b"readers"
    assert told["kafka_dlt-exception-fqcn"] == b"Reject"
    assert told["kafka_dlt-exception-message"] == b"invalid: field ip: should be required"
    assert told["kafka_dlt-exception-stacktrace"] == b""
    assert unpack(">i", told["kafka_deliveryAttempt"]) == (2,)


def test_connect() -> None:
    """Numbers are text, as Kafka Connect writes them."""
    told = letter("connect")
    assert {
        name: told[f"__connect.errors.{name}"] for name in ("topic", "partition", "offset")
    } == {
        "topic": b"logins",
        "partition": b"5",
        "offset": b"42",
    }
    assert told["__connect.errors.stage"] == b"DECODE"
    assert told["__connect.errors.exception.class.name"] == b"Reject"
    assert told["__connect.errors.exception.message"] == b"invalid: field ip: should be required"


def test_a_replay_leaves_them_all_out() -> None:
    """What an earlier letter was told by is known again, whatever the dialect."""
    both = [*letter("spring", "connect").items(), ("foreign", b"1")]
    left = [name for name, _ in without_dialects(both)]
    assert [name for name in left if not name.startswith("pipeline-")] == ["foreign"]
