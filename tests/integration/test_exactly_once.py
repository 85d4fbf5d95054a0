"""What exactly-once promises in one situation each, on a real broker."""

from __future__ import annotations

import json
import os
import random
import string
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from lanternpipe.kafka.config import consumer_config, transactional_config
from lanternpipe.kafka.consumer import RecordConsumer
from lanternpipe.kafka.producer import TransactionalProducer
from lanternpipe.records import Outgoing
from lanternpipe.runtime.commit import ExactlyOnce
from lanternpipe.runtime.watchdog import Deadline
from lanternpipe.settings import KafkaSettings
from lanternpipe.testing.history import Ack, Sent, check
from lanternpipe.testing.kafka_cluster import (
    KafkaCluster,
    KafkaClusterError,
)
from tests.chaos.deployment import Deployment, silent
from tests.chaos.processor import Processor
from tests.chaos.reader import read, seen
from tests.chaos.waiting import until
from tests.chaos.workload import Sender, workload
from tests.integration.deployed import HASTE, SECONDS, SHORTEST, Deploy, drain, send, verify

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        "KAFKA_BOOTSTRAP_SERVERS" in os.environ, reason="somebody else's broker is not stopped"
    ),
]

BROKER = 1


def last_words(processor: Processor) -> list[str]:
    """Return what a process has said on standard error."""
    return [line for line in processor.text().splitlines() if not line.startswith("{")]


def test_second_process_of_an_instance(deploy: Deploy) -> None:
    """Of two processes with one instance one goes on; the other ends with code 5 and one line."""
    deployment = deploy(**HASTE)
    with Sender(deployment, list(workload(1, 3_000)), rate=1_000) as sender:
        first = Processor(deployment, "first", INSTANCE="same").start_and_join()
        second = Processor(deployment, "second", INSTANCE="same").start()
        until(lambda: not (first.running and second.running), SECONDS, "the end of one")
        loser, winner = (second, first) if first.running else (first, second)
        assert loser.wait() == 5
        assert len(last_words(loser)) == 1
        assert "PIPELINE_INSTANCE" in last_words(loser)[0]
        sender.finish()
        drain(deployment)
        assert winner.stop() == 0
    verify(deployment, sender)


def test_transactional_upstream(deploy: Deploy) -> None:
    """Of input written in transactions the committed records are processed, and lag reaches 0."""
    deployment = deploy()
    upstream = Producer(
        {
            "bootstrap.servers": deployment.servers,
            "transactional.id": deployment.group,
            "partitioner": "murmur2_random",
        }
    )
    upstream.init_transactions(SECONDS)
    processor = Processor(deployment, "processor").start()
    history = []
    records = list(workload(1, 2_000, poison=0))
    for number, start in enumerate(range(0, len(records), 200)):
        ack: Ack = "failed" if number % 3 == 0 else "acknowledged"  # the last one as well
        upstream.begin_transaction()
        for each in records[start : start + 200]:
            upstream.produce(deployment.input, each.value, each.key)
            history.append(Sent(each.id, each.key, each.sequence, each.fate, ack))
        upstream.flush(SECONDS)
        if ack == "failed":
            upstream.abort_transaction(SECONDS)
        else:
            upstream.commit_transaction(SECONDS)
    drain(deployment)
    assert json.loads(deployment.run("lag", "--json"))["records"] == 0
    assert processor.stop() == 0
    report = check(history, seen(deployment, {}))
    assert report.ok, report.summary()
    assert report.acks["failed"] > 0
    assert report.seen > 0


def test_orderly_stop(deploy: Deploy) -> None:
    """SIGTERM while records flow ends the process in time, and none is processed again."""
    deployment = deploy()
    with Sender(deployment, list(workload(1, 6_000)), rate=3_000) as sender:
        processor = Processor(deployment, "processor").start_and_join()
        processor.until(lambda: any(deployment.committed().values()), SECONDS, "a commit")
        asked = time.monotonic()
        assert processor.stop() == 0
        assert time.monotonic() - asked < 10
        assert not deployment.drained(), "stopped too late to prove anything"
        processor.start_and_join()
        sender.finish()
        drain(deployment)
        assert processor.stop() == 0
    report = verify(deployment, sender)
    written = read(deployment, deployment.output, committed=False)
    letters = read(deployment, deployment.dead_letters, committed=False)
    assert len(written) + len(letters) == report.seen


def test_broker_that_is_not_there_at_start(cluster: KafkaCluster, deploy: Deploy) -> None:
    """Without a broker a process says so in one line with the address, and begins when it can."""
    deployment = deploy()
    sender = send(deployment, list(workload(1, 500)))
    processor = Processor(deployment, "processor")
    cluster.stop(BROKER)
    try:
        processor.start()
        processor.until(lambda: bool(processor.events("broker_unreachable")), SECONDS, "a word")
    finally:
        cluster.start(BROKER)
    drain(deployment)
    [line] = processor.events("broker_unreachable")
    assert line["brokers"] == deployment.servers
    assert processor.stop() == 0
    verify(deployment, sender)


def test_committed_offset_that_is_gone(cluster: KafkaCluster, deploy: Deploy) -> None:
    """A committed offset that was deleted ends the process with both offsets and the command."""
    deployment = deploy(partitions=1, **HASTE)
    send(deployment, list(workload(1, 100)))
    processor = Processor(deployment, "processor").start()
    drain(deployment)
    assert processor.stop() == 0
    later = send(deployment, list(workload(2, 100)))
    deleted = deployment.admin.delete_records([TopicPartition(deployment.input, 0, 150)])
    for answer in deleted.values():
        answer.result(SECONDS)
    processor.start()
    assert processor.wait(SECONDS) == 4
    [line] = last_words(processor)
    assert f"{deployment.input}/0: the committed offset 100 does not exist" in line
    assert "the broker holds 150 up to 199" in line

    command = line.partition("kafka-consumer-groups.sh ")[2].replace("BROKER", deployment.servers)

    def reset() -> bool:
        try:  # refused until the broker misses the process that has ended
            said = cluster.run_tool(
                "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", *command.split()
            )
        except KafkaClusterError:
            return False
        return "Error" not in said

    until(reset, SECONDS, "the command in the message is accepted")
    processor.start()
    drain(deployment)
    assert processor.stop() == 0
    ids = {each.id for each in later.records[50:] if each.fate == "processed"}
    assert {each.id for each in seen(deployment, {}) if each.offset >= 0} >= ids


def test_output_that_the_broker_refuses(deploy: Deploy) -> None:
    """Outputs that the broker refuses become dead letters; all around them are processed."""
    deployment = deploy()
    processor = Processor(deployment, "processor").start_and_join()
    resource = ConfigResource(
        ResourceType.TOPIC,
        deployment.output,
        incremental_configs=[
            ConfigEntry("max.message.bytes", "100000", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    for answer in deployment.admin.incremental_alter_configs([resource]).values():
        answer.result(SECONDS)
    rng = random.Random(1)
    records = list(workload(1, 400))
    culprits = [number for number, each in enumerate(records) if each.fate == "processed"][99::200]
    for number in culprits:
        # Random, or it would be compressed below the limit.
        noise = "".join(rng.choices(string.ascii_letters, k=200_000)).encode()
        value = records[number].value
        assert value is not None
        records[number] = records[number]._replace(
            fate="dead_lettered", value=value.replace(b'"NV"', b'"' + noise + b'"')
        )
    sender = send(deployment, records)
    drain(deployment, SECONDS * 2)  # a dozen transactions for each culprit
    assert processor.stop() == 0
    verify(deployment, sender)
    kinds = [
        dict(letter.headers() or [])["pipeline-error-kind"]
        for letter in read(deployment, deployment.dead_letters)
    ]
    assert kinds.count(b"unproducible") == len(culprits) > 1


def test_broker_away_for_longer_than_a_transaction_may_last(
    cluster: KafkaCluster, deploy: Deploy
) -> None:
    """When no broker answered until transactions had expired, all go on by themselves."""
    deployment = deploy(**HASTE)
    named = Processor(deployment, "named", INSTANCE="a")
    nameless = Processor(deployment, "nameless")
    with Sender(deployment, list(workload(1, 8_000)), rate=1_000) as sender:
        for each in (named, nameless):
            each.start()
        named.until(lambda: bool(named.partitions()), SECONDS, "partitions")
        nameless.until(lambda: bool(nameless.partitions()), SECONDS, "partitions")
        nameless.until(lambda: all(deployment.committed().values()), SECONDS, "commits")
        # Not stopped: see the brokers of the chaos tests.
        cluster.pause(BROKER)
        paused = time.monotonic()
        try:
            until(lambda: time.monotonic() - paused > SHORTEST * 1.2, SECONDS, "its expiry")
        finally:
            cluster.resume(BROKER)
        sender.finish()
        drain(deployment)
        for each in (named, nameless):
            assert each.running, each.tail()
            assert each.stop() == 0
    verify(deployment, sender)


def test_outputs_written_unawares_do_not_swallow_the_next(
    cluster: KafkaCluster, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """Outputs that were written without an answer, then undone, cost none of the next ones.

    A client that aborted with records under way would give their sequence numbers to the next
    records, which the broker would drop as repeats.
    """
    deployment = Deployment.on(cluster, unique("unawares"), tmp_path, partitions=1)
    kafka = KafkaSettings(
        bootstrap_servers=deployment.servers,
        group_id=deployment.group,
        producer_extra={"socket_timeout_ms": "1500"},
    )
    config = consumer_config(kafka, instance=None)
    source = RecordConsumer(config, [deployment.input], log=silent, waiting=lambda _: None)
    settings = transactional_config(kafka, transactional_id=deployment.group)
    committer = ExactlyOnce(
        TransactionalProducer(settings, log=silent),
        source,
        deadline=Deadline(SECONDS),
        id_is_shared=False,
        waiting=lambda _: None,
    )

    def values(*, committed: bool = True) -> list[bytes | None]:
        found = read(deployment, deployment.output, committed=committed)
        return [message.value() for message in found]

    def send(*given: bytes) -> None:
        nothing = [0] * len(given)
        committer.send(Outgoing(deployment.output, [None] * len(given), [*given], nothing))

    committer.start()
    for offset in (1, 2):  # the second time, the partition is known to the client
        send(b"first")
        committer.commit({deployment.partitions[0]: offset})
    send(b"undone")
    until(lambda: b"undone" in values(committed=False), SECONDS, "the transaction is under way")
    cluster.pause(BROKER)
    send(b"written", b"unawares")
    resuming = threading.Timer(3.0, cluster.resume, [BROKER])
    resuming.start()
    committer.abort()
    resuming.join()
    for offset in (3, 4):
        send(*(b"%d" % number for number in range(5)))
        committer.commit({deployment.partitions[0]: offset})
    committer.close(SECONDS)
    source.close()

    assert {b"written", b"unawares"} <= set(values(committed=False)), "nothing was at stake"
    assert values() == [b"first"] * 2 + [b"%d" % number for number in range(5)] * 2


def test_rebalances_of_the_new_protocol(deploy: Deploy) -> None:
    """Under KIP-848 members come and go, and every record is processed once."""
    deployment = deploy(KAFKA__GROUP_PROTOCOL="consumer")
    everything = set(deployment.partitions)
    # At 1,000/s for longer than all rebalances take; what is left then is sent at once.
    with Sender(deployment, list(workload(1, 60_000)), rate=1_000) as sender:
        first = Processor(deployment, "first").start_and_join()
        second = Processor(deployment, "second").start_and_join()
        assert second.stop() == 0
        first.until(lambda: first.partitions() == everything, SECONDS, "all partitions")
        second.start_and_join()
        assert first.stop() == 0
        second.until(lambda: second.partitions() == everything, SECONDS, "all partitions")
        assert not deployment.drained(), "too late to prove anything"
        sender.finish()
        drain(deployment)
        assert second.stop() == 0
    verify(deployment, sender)


@pytest.mark.parametrize("kind", ["latest", "time"])
def test_start_of_a_new_group(deploy: Deploy, kind: str) -> None:
    """A group without committed offsets begins where `PIPELINE_START` says."""
    deployment = deploy()
    send(deployment, [each._replace(id=f"early-{each.id}") for each in workload(1, 600)])
    moment = datetime.now(UTC)
    until(lambda: datetime.now(UTC) > moment, SECONDS, "the clock moves on")
    records = list(workload(2, 600))
    start = "latest" if kind == "latest" else moment.isoformat()
    processor = Processor(deployment, "processor", START=start)
    if kind == "time":
        sender = send(deployment, records)
    processor.start()
    # Those of the input, and that of the replays.
    processor.until(lambda: len(processor.events("partition_started")) == 7, SECONDS, "all begun")
    if kind == "latest":
        sender = send(deployment, records)
    drain(deployment)
    assert processor.stop() == 0
    verify(deployment, sender)
