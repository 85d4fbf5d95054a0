"""The promise: crashes, zombies and broker restarts lose nothing and let nothing through twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.brokers import cluster_or_skip
from tests.chaos.deployment import Deployment
from tests.chaos.faults import Chaos, Fault, schedule
from tests.chaos.history import Report, check
from tests.chaos.processor import Processor
from tests.chaos.reader import read, seen
from tests.chaos.waiting import until
from tests.chaos.watch import CommitWatch
from tests.chaos.workload import Sender, workload

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        "KAFKA_BOOTSTRAP_SERVERS" in os.environ, reason="somebody else's brokers are not restarted"
    ),
]

SEED = int(os.environ.get("CHAOS_SEED", "1"))
DRAIN_SECONDS = 60.0

# As short as brokers and settings allow, so that a take-over takes seconds.
HASTE = {"KAFKA__SESSION_TIMEOUT": "6", "KAFKA__TRANSACTION_TIMEOUT": "6"}
STATIC = {"KAFKA__STATIC_MEMBERSHIP": "true"}
BUSY = {"COMMIT__SHORTEST": "0.001", "COMMIT__LONGEST": "0.001"}
# How often the broker looks for transactions that have timed out; 10 s by default. Late enough
# for zombies to find theirs still open.
LOOKS = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "5000"}


@pytest.fixture(name="cluster", scope="module")
def _cluster() -> Iterator[KafkaCluster]:
    """Run three brokers, of which one may be restarted at will.

    A lone one could not be: while it stops or starts, its partitions have no leader, and then it
    ends transactions without writing so into their partitions. The next transaction of the same
    producer decides what becomes of their records (see ADR 3).
    """
    with cluster_or_skip(brokers=3, properties=LOOKS) as cluster:
        yield cluster


class Outcome(NamedTuple):
    """What is left of a run.

    Attributes:
        report: What the checker says of the history.
        codes: Exit codes of the processes, asked to stop at the end.
        aborted: Outputs that reached the log and were taken back.
        story: What was done to the processes, and where their logs are.
    """

    report: Report
    codes: list[int]
    aborted: int
    story: str


def endure(
    cluster: KafkaCluster,
    deployment: Deployment,
    processors: list[Processor],
    plan: list[Fault],
    sender: Sender,
) -> Outcome:
    """Run processes through the faults of a plan until all is done, and look at the results."""
    with CommitWatch(deployment) as watch, sender:
        chaos = Chaos(cluster, deployment, [each.start() for each in processors], watch)
        try:
            for fault in plan:
                chaos.run(fault)
            sender.finish()
            until(deployment.drained, DRAIN_SECONDS, "the group has committed all there is")
            codes = [each.stop() for each in chaos.processors]
            until(deployment.settled, DRAIN_SECONDS, "transactions of the killed have timed out")
        finally:
            story = f"seed {SEED}, logs in {deployment.folder}\n{chaos.book()}"
            print(story)
    results = seen(deployment, sender.placed)
    report = check(sender.history(), results)
    print(report.summary())
    written = len(read(deployment, deployment.output, committed=False))
    aborted = written - sum(each.topic == "processed" for each in results)
    return Outcome(report, codes, aborted, f"{story}\n{report.summary()}")


def test_exactly_once(cluster: KafkaCluster, tmp_path: Path) -> None:
    """Kills, zombies and a broker restart lose no record and let none through twice."""
    records = list(workload(SEED, 200_000))
    plan = schedule(SEED, kills=(2, 2, 8), freezes=(0, 1, 2), restarts=1)
    with Deployment.on(cluster, "exactly-once", tmp_path, HASTE) as deployment:
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
    assert done.report.acks["acknowledged"] == len(records), done.story
    assert done.report.seen > 0
    # Otherwise no fault has hit an open transaction, and little has been proven.
    assert done.aborted > 0, done.story


def test_at_least_once(cluster: KafkaCluster, tmp_path: Path) -> None:
    """Under at-least-once, kills may repeat records but lose none."""
    records = list(workload(SEED, 20_000))
    plan = schedule(SEED, kills=(1, 1), freezes=(), restarts=0)
    settings = {**HASTE, "DELIVERY": "at-least-once"}
    with Deployment.on(cluster, "at-least-once", tmp_path, settings) as deployment:
        processors = [Processor(deployment, name) for name in ("one", "other")]
        sender = Sender(deployment, records, rate=2_000)
        done = endure(cluster, deployment, processors, plan, sender)
    anomalies = {name for name, count in done.report.counts.items() if count}
    assert anomalies <= {"duplicate"}, done.story
    assert done.codes == [0, 0], done.story
    assert done.report.acks["acknowledged"] == len(records), done.story
    assert done.report.seen > 0
