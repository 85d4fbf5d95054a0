"""A broker of one's own, and pipelines deployed on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.brokers import cluster_or_skip
from tests.chaos.deployment import Deployment
from tests.integration.deployed import Deploy

PROPERTIES = {
    # A broker that is paused for seconds is not to lose its partitions over it.
    "broker.session.timeout.ms": "60000",
    # How often the broker looks for transactions that have timed out; 10 s by default.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # How often members of KIP-848 are told of a rebalance; 5 s by default.
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
}


@pytest.fixture(name="cluster", scope="module")
def _cluster() -> Iterator[KafkaCluster]:
    """Run one broker, to be stopped and started at will."""
    with cluster_or_skip(properties=PROPERTIES) as cluster:
        yield cluster


@pytest.fixture(name="deploy")
def _deploy(
    cluster: KafkaCluster, unique: Callable[[str], str], tmp_path: Path
) -> Iterator[Deploy]:
    """Return what deploys a pipeline with topics and a group of its own."""
    deployed: list[Deployment] = []

    def deploy(partitions: int = 6, **settings: str) -> Deployment:
        name = unique("promise")
        deployed.append(Deployment.on(cluster, name, tmp_path, settings, partitions=partitions))
        return deployed[-1]

    yield deploy
    for each in deployed:
        each.close()
