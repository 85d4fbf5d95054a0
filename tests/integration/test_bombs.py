"""Records that are small on their way and large when they arrive, and large ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.reader import read
from tests.integration.deployed import SECONDS, Deploy, drain
from tests.letters import DECODABLE

pytestmark = pytest.mark.kafka

MEGABYTE = 1_000_000
CODECS = ("gzip", "lz4", "zstd")  # snappy makes a record twenty times smaller at most
BOMB = 48 * MEGABYTE
# Twice at a time: the client inflates a batch, and Python copies the value. What is freed of one
# may not fit the next.
COPIES = 6
LARGEST = 1_048_588 - 200  # bytes of a value that a topic takes by default, uncompressed


def peak(processor: Processor) -> int:
    """Return the most memory that a process has taken so far, in bytes."""
    assert processor._process is not None
    status = Path(f"/proc/{processor._process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def send(
    deployment: Deployment,
    codec: str,
    *values: bytes,
    headers: list[tuple[str, bytes]] | None = None,
) -> None:
    """Send values in one batch, however large they are before they are compressed."""
    producer = Producer(
        {
            "bootstrap.servers": deployment.servers,
            "compression.type": codec,
            "message.max.bytes": 1_000 * MEGABYTE,
            "batch.size": 1_000 * MEGABYTE,
            "queue.buffering.max.kbytes": 2_000_000,
            "linger.ms": 200,
        }
    )
    refused: list[object] = []
    for value in values:
        producer.produce(
            deployment.input,
            value,
            b"key",
            headers=[*headers] if headers else None,
            on_delivery=lambda error, _: refused.append(error) if error else None,
        )
    assert producer.flush(SECONDS) == 0
    assert not refused


def told(deployment: Deployment) -> list[tuple[str, int]]:
    """Return reason and original size of each dead letter."""
    found = []
    for letter in read(deployment, deployment.dead_letters):
        headers = dict(letter.headers() or [])
        size = headers.get("pipeline-value-bytes", b"%d" % len(letter.value() or b""))
        found.append((_text(headers["pipeline-error-kind"]), int(_text(size))))
    return found


def _text(content: str | bytes | None) -> str:
    return content.decode() if isinstance(content, bytes) else content or ""


def test_decompression_bombs(deploy: Deploy) -> None:
    """Values that inflate become dead letters, memory stays in proportion, all else goes on."""
    deployment = deploy(partitions=1)
    processor = Processor(deployment, "processor").start_and_join()
    send(deployment, "none", DECODABLE)
    drain(deployment)
    before = peak(processor)
    for codec in CODECS:
        send(deployment, codec, b"\0" * BOMB)
        send(deployment, "none", DECODABLE)
        drain(deployment)

    assert told(deployment) == [("undecodable", BOMB)] * len(CODECS)
    assert len(read(deployment, deployment.output)) == 1 + len(CODECS)
    assert peak(processor) - before < COPIES * BOMB
    assert processor.stop() == 0


@pytest.mark.skipif("KAFKA_BOOTSTRAP_SERVERS" in os.environ, reason="its settings are not ours")
def test_a_topic_that_takes_no_bombs(deploy: Deploy) -> None:
    """With ``compression.type=uncompressed`` the broker weighs what a record is, and refuses."""
    deployment = deploy(partitions=1)
    entry = ConfigEntry(
        "compression.type", "uncompressed", incremental_operation=AlterConfigOpType.SET
    )
    topic = ConfigResource(ResourceType.TOPIC, deployment.input, incremental_configs=[entry])
    for answer in deployment.admin.incremental_alter_configs([topic]).values():
        answer.result(SECONDS)
    for codec in CODECS:
        with pytest.raises(AssertionError, match="MSG_SIZE_TOO_LARGE"):
            send(deployment, codec, b"\0" * BOMB)
    send(deployment, "gzip", *[DECODABLE] * 10)
    processor = Processor(deployment, "processor").start_and_join()

    drain(deployment)
    assert len(read(deployment, deployment.output)) == 10
    assert processor.stop() == 0


def test_records_as_large_as_they_may_be(deploy: Deploy) -> None:
    """A value of the largest size and 10,000 headers are processed, or become whole letters."""
    deployment = deploy(partitions=1)
    processor = Processor(deployment, "processor").start_and_join()
    send(deployment, "none", DECODABLE)
    drain(deployment)
    before = peak(processor)
    headers = [(f"header-{number}", b"v" * 50) for number in range(10_000)]
    for _ in range(20):
        send(deployment, "none", b"x" * LARGEST)
    send(deployment, "none", DECODABLE.ljust(LARGEST))
    send(deployment, "none", DECODABLE, headers=headers)
    send(deployment, "none", b"poison", headers=headers)
    drain(deployment)

    assert told(deployment) == [("undecodable", LARGEST)] * 20 + [("undecodable", 6)]
    letter = read(deployment, deployment.dead_letters)[-1]
    assert list(letter.headers() or [])[: len(headers)] == headers
    assert len(read(deployment, deployment.output)) == 3
    assert peak(processor) - before < 150 * MEGABYTE
    assert processor.stop() == 0
