"""What a request to commit does that reaches the broker late, in the next transaction."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lanternpipe.kafka.config import consumer_config, transactional_config
from lanternpipe.kafka.consumer import RecordConsumer
from lanternpipe.kafka.producer import TransactionalProducer
from lanternpipe.records import Outgoing
from lanternpipe.runtime.commit import ExactlyOnce
from lanternpipe.runtime.watchdog import Deadline
from lanternpipe.settings import KafkaSettings
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.brokers import cluster_or_skip
from tests.chaos.deployment import Deployment, silent
from tests.chaos.proxy import Proxy
from tests.chaos.reader import read
from tests.chaos.waiting import until
from tests.integration.deployed import SECONDS

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        "KAFKA_BOOTSTRAP_SERVERS" in os.environ, reason="somebody else's broker has no side door"
    ),
]

Door = tuple[KafkaCluster, Proxy]


@pytest.fixture(name="door", scope="module")
def _door() -> Iterator[Door]:
    """Run one broker with a proxy before it."""
    with Proxy() as proxy, cluster_or_skip(side_doors=[proxy.port]) as cluster:
        proxy.lead_to(cluster.side_door(1))
        yield cluster, proxy


class Trusting(ExactlyOnce):
    """Goes on with the same client after a doubtful commit, which ours never does."""

    def _begin(self) -> None:
        self._unsure = False
        super()._begin()


@pytest.mark.parametrize(
    ("committer_class", "visible"),
    [(ExactlyOnce, [b"first"]), (Trusting, [b"first", b"second"])],
    ids=["with a new client", "with the same client"],
)
def test_late_commit(
    door: Door,
    committer_class: type[ExactlyOnce],
    visible: list[bytes],
    unique: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """A late request to commit ends the next transaction too early, unless the client is new."""
    cluster, proxy = door
    with Deployment.on(cluster, unique("late"), tmp_path, partitions=1) as deployment:
        kafka = KafkaSettings(bootstrap_servers=proxy.address, group_id=deployment.group)
        source = RecordConsumer(
            consumer_config(kafka, instance=None),
            [deployment.input],
            log=silent,
            waiting=lambda _: None,
        )
        committer = committer_class(
            TransactionalProducer(
                transactional_config(kafka, transactional_id=deployment.group), log=silent
            ),
            source,
            deadline=Deadline(SECONDS),
            id_is_shared=False,
            waiting=lambda _: None,
        )

        def send(value: bytes) -> None:
            committer.send(Outgoing(deployment.output, [None], [value], [0]))

        committer.start()
        proxy.late.arm()
        send(b"first")
        committer.commit({deployment.partitions[0]: 1})
        assert proxy.late.held.is_set()

        send(b"second")  # and left open: nobody may see it
        until(proxy.late.answered.is_set, SECONDS, "the late request has reached the broker")
        until(lambda: seen_open(deployment), SECONDS, "both are in the log")

        assert [message.value() for message in read(deployment, deployment.output)] == visible
        committer.close(0)
        source.close()


def seen_open(deployment: Deployment) -> bool:
    """Say whether both values have reached the log."""
    return len(read(deployment, deployment.output, committed=False)) == 2
