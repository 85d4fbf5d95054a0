"""Logs that no well-behaved program writes, and transforms that take their time."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.reader import read
from tests.chaos.waiting import until
from tests.chaos.workload import Record, Sender, workload
from tests.integration.deployed import HASTE, SECONDS, Deploy, drain, send, verify

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        "KAFKA_BOOTSTRAP_SERVERS" in os.environ, reason="its settings are not ours to change"
    ),
]

PARTITIONS = 6
CULPRITS = (30, 31)  # numbers of records, on two partitions

SLOW = """
import time
from dataclasses import replace
from logins.pipeline import pipeline as fast

def transform(login, ctx):
    time.sleep({seconds})
    return fast.transform(login, ctx)

pipeline = replace(fast, transform=transform)
"""


def good(number: int) -> Record:
    """Return a record that is processed."""
    return next(workload(number, 1, filtered=0.0, poison=0.0))._replace(
        id=f"id-{number}", key=f"user-{number}"
    )


def test_a_topic_that_is_made_anew_while_it_is_read(deploy: Deploy) -> None:
    """A topic that is deleted and made anew is read from its start, and the log says so."""
    deployment = deploy()
    processor = Processor(deployment, "processor").start_and_join()
    verify(deployment, send_and_drain(deployment, list(workload(1, 2_000))))

    for future in deployment.admin.delete_topics([deployment.input]).values():
        future.result(SECONDS)
    until(lambda: made_anew(deployment), SECONDS, "the topic made anew")
    before = len(read(deployment, deployment.output))
    with Sender(deployment, list(workload(2, 300, filtered=0.0, poison=0.0))) as sender:
        sender.finish()

    processor.until(
        lambda: len(read(deployment, deployment.output)) == before + 300,
        SECONDS,
        "outputs of all new records",
    )
    assert processor.stop() == 0
    assert processor.events("log_made_anew")


def test_a_header_whose_name_is_no_text(deploy: Deploy) -> None:
    """A record with a header name that is not UTF-8 becomes a dead letter; its neighbours pass."""
    deployment = deploy(partitions=1)
    records = list(workload(1, 20, filtered=0.0, poison=0.0))
    send_raw_header(deployment, records[0].value or b"")
    processor = Processor(deployment, "processor").start_and_join()
    send_and_drain(deployment, records)

    assert processor.stop() == 0
    (letter,) = read(deployment, deployment.dead_letters)
    headers = dict(letter.headers() or [])
    assert headers["pipeline-error-kind"] == b"undecodable"
    assert headers["pipeline-error-class"] == b"Headers"
    assert letter.value() == records[0].value
    assert len(read(deployment, deployment.output)) == len(records)


def test_refused_outputs_on_several_partitions(deploy: Deploy) -> None:
    """Outputs that the broker refuses are found one by one, also on partitions taken in turn."""
    deployment = deploy(BATCH_RECORDS="100")
    for topic, name, value in (
        (deployment.input, "message.timestamp.after.max.ms", str(2**63 - 1)),
        (deployment.output, "message.timestamp.after.max.ms", "3600000"),
    ):
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for answer in deployment.admin.incremental_alter_configs([resource]).values():
            answer.result(SECONDS)
    records = [good(number) for number in range(1_200)]
    producer = Producer({"bootstrap.servers": deployment.servers, "linger.ms": 5})
    future = int(time.time() * 1_000) + 10_000_000_000
    for number, record in enumerate(records):
        producer.produce(
            deployment.input,
            record.value,
            record.key,
            partition=number % PARTITIONS,
            timestamp=future if number in CULPRITS else 0,
        )
    producer.flush(SECONDS)
    processor = Processor(deployment, "processor").start_and_join()

    drain(deployment, SECONDS * 2)
    assert processor.stop() == 0
    kinds = [
        dict(letter.headers() or [])["pipeline-error-kind"]
        for letter in read(deployment, deployment.dead_letters)
    ]
    assert kinds == [b"unproducible"] * len(CULPRITS)
    assert len(read(deployment, deployment.output)) == len(records) - len(CULPRITS)


def test_a_transform_slower_than_its_transaction(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches that would outlast their transaction are made smaller, and all gets done."""
    (tmp_path / "slow.py").write_text(SLOW.format(seconds=0.04))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    deployment = deploy(partitions=1, APP="slow:pipeline", **HASTE)
    sender = send(deployment, list(workload(1, 250, filtered=0.0, poison=0.0)))
    processor = Processor(deployment, "processor").start()

    drain(deployment, SECONDS * 2)
    assert processor.stop() == 0
    verify(deployment, sender)


def send_and_drain(deployment: Deployment, records: list[Record]) -> Sender:
    """Send records and wait until the group has committed all."""
    sender = send(deployment, records)
    drain(deployment)
    return sender


def made_anew(deployment: Deployment) -> bool:
    """Try to create the topics; False while the broker is still deleting."""
    try:
        deployment.run("topics", "apply")
    except (AssertionError, KafkaException):
        return False
    return True


def send_raw_header(deployment: Deployment, value: bytes) -> None:
    """Send a record with a header name that Python's client would not let through."""
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka-*.so*")
    library = ctypes.CDLL(str(path))
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = ctypes.c_void_p
    error = ctypes.create_string_buffer(512)
    config = ctypes.c_void_p(library.rd_kafka_conf_new())
    servers = deployment.servers.encode()
    library.rd_kafka_conf_set(config, b"bootstrap.servers", servers, error, ctypes.c_size_t(512))
    client = ctypes.c_void_p(library.rd_kafka_new(0, config, error, ctypes.c_size_t(512)))
    assert client.value, error.value
    name, content = b"bad\xff\xfename", b"v"
    topic, text, size = ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t
    # rd_kafka_producev takes pairs of a kind and its values: topic, value, copy, header, end.
    result = library.rd_kafka_producev(
        client,
        *(1, topic(deployment.input.encode())),
        *(4, text(value), size(len(value))),
        *(7, 2),
        *(9, text(name), text(content), ctypes.c_ssize_t(len(content))),
        0,
    )
    assert result == 0
    assert library.rd_kafka_flush(client, 10_000) == 0
    library.rd_kafka_destroy(client)
