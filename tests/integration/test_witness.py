"""What `lag --serve` and `produce --serve` tell, beside a real broker."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as ClientPartition

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.chaos.processor import Processor
from tests.chaos.waiting import until
from tests.chaos.workload import workload
from tests.integration.deployed import SECONDS, Deploy, drain, send
from tests.scrape import scraped, value

pytestmark = pytest.mark.kafka

WITNESS = ("lanternpipe", "lag", "--serve", "--every", "0.2")


class Told:
    """What a program serves, by its own log line."""

    def __init__(self, program: Processor) -> None:
        self._program = program.start()
        program.until(lambda: bool(program.events("serving")), SECONDS, "metrics")

    def number(self, name: str, **labels: str) -> float | None:
        """Return a sample that is served now."""
        return value(scraped(self._program.metrics), name, **labels)

    def until(self, expected: float | None, name: str, **labels: str) -> None:
        """Wait until a sample has that value."""
        self._program.until(
            lambda: self.number(name, **labels) == expected, SECONDS, f"{name} {labels} {expected}"
        )

    def ready(self) -> tuple[bool, str]:
        """Return what `/readyz` says."""
        url = self._program.metrics.replace("/metrics", "/readyz")
        try:
            with urllib.request.urlopen(url) as answer:  # our own loopback address
                body = json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            body = json.loads(refused.read())
        return body["ok"], body["reason"]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_the_witness_sees_a_group_with_and_without_members(deploy: Deploy, protocol: str) -> None:
    """Lag, members and unread partitions are told while processors come and when all are gone."""
    deployment = deploy(partitions=3, KAFKA__GROUP_PROTOCOL=protocol)
    send(deployment, list(workload(1, 300)))
    told = Told(Processor(deployment, "witness", module=WITNESS))
    source, group = deployment.input, deployment.group
    told.until(3, "pipeline_group_unassigned_partitions", topic=source, group=group)
    told.until(1, "pipeline_group_unassigned_partitions", topic=f"{source}.replay")
    assert told.number("pipeline_group_members", group=group) == 0
    assert told.number("pipeline_group_committed_offset", topic=source) is None
    behind = [
        told.number("pipeline_group_lag_records", topic=source, partition=str(at))
        for at in range(3)
    ]
    assert sum(each or 0 for each in behind) == 300
    assert (told.number("pipeline_group_lag_seconds", topic=source, partition="0") or 0) > 0

    processor = Processor(deployment, "processor").start_and_join()
    told.until(0, "pipeline_group_unassigned_partitions", topic=source)
    told.until(0, "pipeline_group_unassigned_partitions", topic=f"{source}.replay")
    told.until(1, "pipeline_group_members")
    drain(deployment)
    for at in range(3):
        told.until(0, "pipeline_group_lag_records", topic=source, partition=str(at))
        told.until(0, "pipeline_group_lag_seconds", topic=source, partition=str(at))
        told.until(0, "pipeline_group_retention_used_ratio", topic=source, partition=str(at))
    assert processor.stop() == 0
    told.until(0, "pipeline_group_members")
    assert told.ready() == (True, "the broker answers")


def test_the_witness_sees_what_is_lost_and_what_is_hidden(deploy: Deploy) -> None:
    """Records that were deleted unread are counted, and those behind an open transaction."""
    deployment = deploy(partitions=1)
    send(deployment, list(workload(1, 100, filtered=0.0, poison=0.0)))
    processor = Processor(deployment, "processor").start_and_join()
    drain(deployment)
    assert processor.stop() == 0
    committed = deployment.committed()[deployment.partitions[0]]
    send(deployment, list(workload(2, 50)))
    told = Told(Processor(deployment, "witness", module=WITNESS))
    here = {"topic": deployment.input, "partition": "0"}
    told.until(50, "pipeline_group_lag_records", **here)
    assert told.number("pipeline_group_committed_offset", **here) == committed
    assert told.number("pipeline_group_lost_records", **here) == 0
    assert 0 < (told.number("pipeline_group_retention_used_ratio", **here) or 0) < 1

    gone = ClientPartition(deployment.input, 0, committed + 20)
    deployment.admin.delete_records([gone])[gone].result(SECONDS)
    told.until(20, "pipeline_group_lost_records", **here)
    told.until(30, "pipeline_group_lag_records", **here)
    assert told.number("pipeline_group_first_offset", **here) == committed + 20
    assert told.number("pipeline_group_retention_used_ratio", **here) == 1

    upstream = Producer(
        {"bootstrap.servers": deployment.servers, "transactional.id": f"{deployment.group}-up"}
    )
    upstream.init_transactions(SECONDS)
    upstream.begin_transaction()
    upstream.produce(deployment.input, b"hidden")
    upstream.flush(SECONDS)
    told.until(1, "pipeline_group_open_transaction_records", **here)
    assert told.number("pipeline_group_lag_records", **here) == 30
    upstream.abort_transaction(SECONDS)
    told.until(0, "pipeline_group_open_transaction_records", **here)


def test_the_witness_outlives_the_broker(deploy: Deploy, cluster: KafkaCluster) -> None:
    """While the broker is away it says so and lives; then it goes on by itself."""
    deployment = deploy(partitions=1)
    witness = Processor(deployment, "witness", module=WITNESS)
    told = Told(witness)
    told.until(0, "pipeline_group_members")
    cluster.pause(1)
    try:
        witness.until(lambda: not told.ready()[0], SECONDS, "not ready")
        assert "no answer" in told.ready()[1]
    finally:
        cluster.resume(1)
    witness.until(lambda: told.ready()[0], SECONDS, "ready again")
    told.until(0, "pipeline_group_members")
    assert [line["event"] for line in witness.events("waiting_for_broker", "broker_is_back")] == [
        "waiting_for_broker",
        "broker_is_back",
    ]
    assert witness.stop() == 0


def test_a_producer_tells_of_itself(deploy: Deploy, tmp_path: Path) -> None:
    """`produce --serve` counts what was acknowledged and what was not, and serves probes."""
    deployment = deploy(partitions=1, KAFKA__EXTRA__STATISTICS_INTERVAL_MS="500")
    producer = Processor(
        deployment, "producer", module=("lanternpipe", "produce", "--rate", "50", "--serve")
    )
    told = Told(producer)
    sent = "messaging_client_sent_messages_total"
    labels = {"messaging_destination_name": deployment.input, "error_type": ""}
    producer.until(lambda: (told.number(sent, **labels) or 0) > 50, SECONDS, "50 acknowledged")
    assert told.number(sent, error_type="_MSG_TIMED_OUT") == 0
    assert told.ready() == (True, "sends")
    until(lambda: bool(told.number("rdkafka_messages_sent_total")), SECONDS, "statistics")
    assert told.number("pipeline_spans_total", fate="capped") == 0
    assert told.number("pipeline_build_info") == 1
    assert producer.stop() == 0
