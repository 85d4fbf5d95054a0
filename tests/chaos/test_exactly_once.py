"""The promise: crashes, zombies and broker restarts lose nothing and let nothing through twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.brokers import cluster_or_skip
from tests.chaos.deployment import Deployment
from tests.chaos.faults import Times, schedule
from tests.chaos.processor import Processor
from tests.chaos.run import BUSY, FLAKY, HASTE, PROPERTIES, STATIC, endure
from tests.chaos.workload import Sender, workload

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        "KAFKA_BOOTSTRAP_SERVERS" in os.environ, reason="somebody else's brokers are not restarted"
    ),
]

SEED = int(os.environ.get("CHAOS_SEED", "1"))


@pytest.fixture(name="cluster", scope="module")
def _cluster() -> Iterator[KafkaCluster]:
    """Run three brokers, of which one may be restarted at will.

    A lone one could not be: while it stops or starts, its partitions have no leader, and then it
    ends transactions without writing so into their partitions. The next transaction of the same
    producer decides what becomes of their records (see ADR 3).
    """
    with cluster_or_skip(brokers=3, properties=PROPERTIES) as cluster:
        yield cluster


def test_exactly_once(cluster: KafkaCluster, tmp_path: Path) -> None:
    """Kills, zombies and a broker restart lose no record and let none through twice."""
    records = list(workload(SEED, 200_000))
    times: Times = {"freeze": (1, 1, 1), "kill": (2, 2, 8), "restart broker": 1}
    plan = schedule(SEED, times, processors=3)
    with Deployment.on(cluster, "exactly-once", tmp_path, {**HASTE, **FLAKY}) as deployment:
        processors = [
            Processor(deployment, "named", INSTANCE="a"),
            # Large transactions: most kills hit one that is half done.
            Processor(deployment, "nameless", COMMIT__SHORTEST="0.5"),
            # Nothing but commits: many kills hit one. Back within a second, so killed often.
            Processor(deployment, "static", INSTANCE="b", **STATIC, **BUSY),
        ]
        sender = Sender(deployment, records, rate=4_000)
        done = endure(cluster, deployment, processors, plan, sender)
    assert done.report.ok, done.story
    assert done.codes == [0, 0, 0], done.story
    assert not done.own_ends, done.story
    assert done.report.acks["acknowledged"] == len(records), done.story
    assert done.report.seen > 0
    # Otherwise no fault has hit an open transaction, and little has been proven.
    assert done.aborted > 0, done.story


def test_at_least_once(cluster: KafkaCluster, tmp_path: Path) -> None:
    """Under at-least-once, kills may repeat records but lose none."""
    records = list(workload(SEED, 20_000))
    plan = schedule(SEED, {"kill": (1, 1)}, processors=2)
    settings = {**HASTE, "DELIVERY": "at-least-once"}
    with Deployment.on(cluster, "at-least-once", tmp_path, settings) as deployment:
        processors = [Processor(deployment, name) for name in ("one", "other")]
        sender = Sender(deployment, records, rate=2_000)
        done = endure(cluster, deployment, processors, plan, sender)
    anomalies = {name for name, count in done.report.counts.items() if count}
    assert anomalies <= {"duplicate"}, done.story
    assert done.codes == [0, 0], done.story
    assert not done.own_ends, done.story
    assert done.report.acks["acknowledged"] == len(records), done.story
    assert done.report.seen > 0
