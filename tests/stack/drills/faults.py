"""The faults of the drills: each is made on entering and undone on leaving."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from lanternpipe.kafka.topics import topic_config
from tests.chaos.processor import Processor
from tests.chaos.waiting import until
from tests.stack.drills.identity import USER
from tests.stack.drills.site import GOOD, PARTITIONS, Site

if TYPE_CHECKING:
    from tests.stack.collector import Collector
    from tests.stack.drills.identity import Identity

SECONDS = 30.0
MONTH_MS = 30 * 86_400_000
MINUTES_MS = 120_000
DAY_MS = 86_400_000
# A transaction's marker has 78 bytes, a record of ours over 200. A topic that refuses markers, too,
# leaves the transaction hanging for good, as nobody tries to write them again.
MARKERS_ONLY = "100"


@contextmanager
def processors_killed(site: Site) -> Iterator[None]:
    """Kill all processors of a group; start them again."""
    for each in site.processors:
        each.kill()
    yield
    for each in site.processors:
        each.start()


@contextmanager
def processors_stopped(site: Site) -> Iterator[None]:
    """Stop all processors of a group in order, so that it is empty at once; start them again."""
    for each in site.processors:
        each.send(signal.SIGTERM)
    for each in site.processors:
        each.wait()
    yield
    for each in site.processors:
        each.start()


@contextmanager
def with_new_life(site: Site, fault: str) -> Iterator[None]:
    """Let the switched pipeline do wrong, then start it anew: what it tells is of one life."""
    with site.going_wrong(fault):
        yield
    for each in site.processors:
        each.kill()
    for each in site.processors:
        each.start()


@contextmanager
def frozen(site: Site) -> Iterator[None]:
    """Freeze all processors of a group; let them go on."""
    for each in site.processors:
        each.send(signal.SIGSTOP)
    yield
    for each in site.processors:
        each.send(signal.SIGCONT)


@contextmanager
def witness_killed(site: Site) -> Iterator[None]:
    """Kill what looks at a group from outside; start it again."""
    site.witness.kill()
    yield
    site.witness.start()


@contextmanager
def broker_killed(site: Site, broker: int) -> Iterator[None]:
    """Kill a broker that alone holds a partition; start it again."""
    # Which broker has a partition is said with the topic: [[3]] is one partition on broker 3.
    lonely = NewTopic("on-one-broker-only", 1, replica_assignment=[[broker]])
    (made,) = site.deployment.admin.create_topics([lonely]).values()
    made.result(SECONDS)
    site.cluster.kill(broker)
    yield
    site.cluster.start(broker)


@contextmanager
def poison_flood(site: Site, records: int) -> Iterator[None]:
    """Send nothing but poison; then let it become dead letters, as its runbook says."""
    producer = _producer(site)
    for number in range(records):
        producer.produce(site.deployment.input, b"{", b"%d" % number)
    assert producer.flush(SECONDS) == 0
    yield
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    for each in site.processors:
        each.kill()
        each.set(DEADLETTER__BREAKER__ACCEPT_BEFORE=now)
        each.start()


@contextmanager
def poisoned(site: Site, share: float) -> Iterator[None]:
    """Let a producer send poison among good records, too little for the breaker; stop it."""
    sends = ["lanternpipe", "produce", "--rate", "50", "--poison", f"{share}"]
    sender = Processor(site.deployment, "poisoner", module=sends).start()
    yield
    sender.kill()


@contextmanager
def open_transaction(site: Site) -> Iterator[None]:
    """Begin a transaction upstream, send in it and leave it open; abort it in the end."""
    producer = _producer(site, {"transactional.id": f"{site.name}-upstream"})
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    for partition in range(PARTITIONS):
        producer.produce(site.deployment.input, GOOD % partition, partition=partition)
    assert producer.flush(SECONDS) == 0
    yield
    producer.abort_transaction(SECONDS)


@contextmanager
def nothing_taken(site: Site, topic: str) -> Iterator[None]:
    """Let a topic refuse all records for their size."""
    before = topic_config(site.deployment.admin, topic)["max.message.bytes"]
    _configure(site, topic, "max.message.bytes", MARKERS_ONLY)
    yield
    _configure(site, topic, "max.message.bytes", before)


@contextmanager
def denied(site: Site, topic: str) -> Iterator[None]:
    """Forbid who comes by the encrypted door to write to a topic; allow it again."""
    admin = site.deployment.admin
    what = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{USER}", "*")
    rule = (AclOperation.WRITE, AclPermissionType.DENY)
    for made in admin.create_acls([AclBinding(*what, *rule)]).values():
        made.result(SECONDS)
    yield
    for gone in admin.delete_acls([AclBindingFilter(*what, *rule)]).values():
        gone.result(SECONDS)


@contextmanager
def certificate_ends(identity: Identity) -> Iterator[None]:
    """Let the clients' certificate be one that ends in days; then one that does not."""
    identity.issue(days=3)
    yield
    identity.issue(days=365)


@contextmanager
def short_retention(site: Site, seconds: float) -> Iterator[None]:
    """Let the input keep its records for a short time only."""
    _configure(site, site.deployment.input, "retention.ms", f"{round(seconds * 1_000)}")
    yield
    _configure(site, site.deployment.input, "retention.ms", f"{7 * DAY_MS}")


@contextmanager
def unread_deleted(site: Site) -> Iterator[None]:
    """Delete what the group has not read; then let it go on behind that, as its runbook says."""
    deployment = site.deployment

    def unread() -> int:
        return sum(deployment.ends(deployment.input).values()) - sum(
            deployment.committed().values()
        )

    until(lambda: unread() > PARTITIONS, SECONDS, "unread records")
    ends = {at: end for at, end in deployment.ends(deployment.input).items() if end}
    gone = [TopicPartition(deployment.input, at, end) for at, end in ends.items()]
    for future in deployment.admin.delete_records(gone).values():
        future.result(SECONDS)
    yield
    # An empty group lets anybody commit for it.
    mover = Consumer({"bootstrap.servers": deployment.servers, "group.id": deployment.group})
    mover.commit(offsets=gone, asynchronous=False)
    mover.close()


@contextmanager
def stray_member(site: Site) -> Iterator[None]:
    """Let a program join the group that reads another topic only."""
    with _member(site, site.deployment.output) as consumer:
        until(lambda: _polled(consumer) and bool(consumer.assignment()), SECONDS, "the stray")
        yield


@contextmanager
def members_come_and_go(site: Site) -> Iterator[None]:
    """Let one more member join the group and leave it, again and again."""
    done = Event()

    def churn() -> None:
        while not done.is_set():
            with _member(site, site.deployment.input) as consumer:
                until(lambda: _polled(consumer) and bool(consumer.assignment()), SECONDS, "guest")

    thread = Thread(target=churn, name="churn", daemon=True)
    thread.start()
    yield
    done.set()
    thread.join()


@contextmanager
def old_letter(site: Site) -> Iterator[None]:
    """Put a dead letter from a month ago into its topic; delete it in the end."""
    letters = site.deployment.dead_letters
    # It stamps what comes with the time of coming.
    _configure(site, letters, "message.timestamp.type", "CreateTime")
    producer = _producer(site)
    producer.produce(letters, b"{", b"k", timestamp=round(time.time() * 1_000) - MONTH_MS)
    assert producer.flush(SECONDS) == 0
    yield
    gone = [TopicPartition(letters, at, end) for at, end in site.deployment.ends(letters).items()]
    for future in site.deployment.admin.delete_records(gone).values():
        future.result(SECONDS)


@contextmanager
def collector_killed(collector: Collector) -> Iterator[None]:
    """Kill the Collector; start it again."""
    collector.kill()
    yield
    collector.start()


def _producer(site: Site, more: dict[str, str] | None = None) -> Producer:
    return Producer(
        {"bootstrap.servers": site.cluster.bootstrap_servers, "log_level": 0, **(more or {})}
    )


@contextmanager
def _member(site: Site, topic: str) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": site.cluster.bootstrap_servers,
            "group.id": site.name,
            "partition.assignment.strategy": "cooperative-sticky",
            "enable.auto.commit": False,
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 500,
        }
    )
    consumer.subscribe([topic])
    try:
        yield consumer
    finally:
        consumer.close()


def _polled(consumer: Consumer) -> bool:
    consumer.poll(0.05)
    return True


def _configure(site: Site, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in site.deployment.admin.incremental_alter_configs([resource]).values():
        future.result(SECONDS)


@contextmanager
def draining(site: Site, records: int, seconds: float) -> Iterator[None]:
    """Let many records come that are some minutes old and take long."""
    producer = _producer(site)
    then = round(time.time() * 1_000) - MINUTES_MS
    with site.going_wrong(f"sleep {seconds}"):
        for number in range(records):
            producer.produce(site.deployment.input, GOOD % number, b"%d" % number, timestamp=then)
            producer.poll(0)
        assert producer.flush(SECONDS) == 0
        yield


@contextmanager
def unread(site: Site, seconds: float) -> Iterator[None]:
    """Stop a group whose input keeps its records for a short time only."""
    with short_retention(site, seconds), processors_stopped(site):
        yield


@contextmanager
def lost(site: Site) -> Iterator[None]:
    """Stop a group and delete what it has not read."""
    with processors_stopped(site), unread_deleted(site):
        yield


@contextmanager
def stray(site: Site) -> Iterator[None]:
    """Let a program be the only member of a group, and read another topic."""
    with processors_stopped(site), stray_member(site):
        yield
