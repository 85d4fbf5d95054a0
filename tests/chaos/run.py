"""One run: processes live through the faults of a plan, then what came out is looked at."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lanternpipe.testing.history import Report, Seen, check
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.chaos.console import by_console
from tests.chaos.deployment import Deployment
from tests.chaos.faults import Fault
from tests.chaos.inflict import Chaos, Entry
from tests.chaos.processor import Processor
from tests.chaos.proxy import Proxy
from tests.chaos.reader import read, seen
from tests.chaos.waiting import until
from tests.chaos.watch import CommitWatch
from tests.chaos.workload import Sender

DRAIN_SECONDS = 120.0

# As short as brokers and settings allow, so that a take-over takes seconds.
HASTE = {"KAFKA__SESSION_TIMEOUT": "6", "KAFKA__TRANSACTION_TIMEOUT": "6"}
# Some records are tried again, so that faults hit partitions that wait.
FLAKY = {
    "APP": "tests.chaos.flaky:pipeline",
    "RETRY__FIRST": "0.1",
    "RETRY__LONGEST": "0.3",
}
STATIC = {"KAFKA__STATIC_MEMBERSHIP": "true"}
BUSY = {"COMMIT__SHORTEST": "0.001", "COMMIT__LONGEST": "0.001"}
PROPERTIES = {
    # How often the broker looks for transactions that have timed out; 10 s by default. Late enough
    # for zombies to find theirs still open.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "5000",
    # As HASTE, for the protocol in which the broker decides.
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "1000",
}


@dataclass(frozen=True)
class Outcome:
    """What is left of a run.

    Attributes:
        report: What the checker says of the history.
        codes: Exit codes of the processes, asked to stop at the end.
        own_ends: Exit codes of processes that ended by themselves, and were started again.
        aborted: Outputs that reached the log and were taken back.
        story: What was done to the processes, and where their logs are.
        done: How often each kind of fault was carried out.
        recoveries: What happened when, and after how many seconds the group had committed again
            on the first partition, and on all.
        began: The zero of those times.
        seconds: How long it took until all was committed.
        console: What the checker says of what Kafka's own console consumer has read.
        console_agrees: Whether that is, place by place, what our own reader has read.
    """

    report: Report
    codes: list[int]
    own_ends: list[int]
    aborted: int
    story: str
    done: Counter[str] = field(default_factory=Counter)
    recoveries: list[tuple[Entry, tuple[float, float] | None]] = field(default_factory=list)
    began: float = 0.0
    seconds: float = 0.0
    console: Report | None = None
    console_agrees: bool | None = None


def endure(
    cluster: KafkaCluster,
    deployment: Deployment,
    processors: list[Processor],
    plan: list[Fault],
    sender: Sender,
    *,
    doors: Sequence[Proxy] = (),
    console: bool = False,
) -> Outcome:
    """Run processes through the faults of a plan until all is done, and look at the results.

    Args:
        cluster: The brokers.
        deployment: The pipeline.
        processors: Its processes.
        plan: The faults.
        sender: Sends the records.
        doors: Proxies before the brokers.
        console: Whether Kafka's own console consumer reads the results, too.
    """
    done: Counter[str] = Counter()
    with CommitWatch(deployment) as watch, sender:
        chaos = Chaos(cluster, deployment, [each.start() for each in processors], watch, doors)
        try:
            chaos.await_group()
            for fault in plan:
                chaos.run(fault)
                done[fault.kind] += len(fault.targets)
            sender.finish()

            def drained() -> bool:
                chaos.supervise()
                return deployment.drained()

            until(drained, DRAIN_SECONDS, "the group has committed all there is")
            seconds = time.monotonic() - chaos.began
            codes = [each.stop() for each in chaos.processors]
            until(deployment.settled, DRAIN_SECONDS, "transactions of the killed have timed out")
        finally:
            story = f"logs in {deployment.folder}\n{chaos.book()}"
    results = seen(deployment, sender.placed)
    report = check(sender.history(), results)
    print(report.summary(), flush=True)
    written = len(read(deployment, deployment.output, committed=False))
    outputs = [each for each in results if each.topic == "processed"]
    outcome = Outcome(
        report,
        codes,
        chaos.own_ends,
        written - len(outputs),
        f"{story}\n{report.summary()}",
        done,
        chaos.recoveries(),
        chaos.began,
        seconds,
    )
    return _confirmed(outcome, cluster, deployment, sender, results) if console else outcome


def _confirmed(
    outcome: Outcome,
    cluster: KafkaCluster,
    deployment: Deployment,
    sender: Sender,
    results: list[Seen],
) -> Outcome:
    letters = [each for each in results if each.topic != "processed"]
    theirs = by_console(cluster, deployment)
    report = check(sender.history(), [*theirs, *letters])
    agrees = sorted([*theirs, *letters]) == sorted(results)
    print(f"console consumer: {len(theirs):,} records, the same as ours: {agrees}", flush=True)
    return Outcome(**{**vars(outcome), "console": report, "console_agrees": agrees})
