"""The brokers of a run: who coordinates, whether all replicas are there, and how to slow them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from confluent_kafka.admin import AdminClient

from lanternpipe.kafka.errors import mapped
from lanternpipe.testing.kafka_cluster import KafkaCluster

GROUPS, TRANSACTIONS = "__consumer_offsets", "__transaction_state"
RUN_SECONDS, PAUSE_SECONDS = 0.002, 0.03  # the latter while they are slow
ASK_SECONDS = 5.0


def coordinator(admin: AdminClient, topic: str, name: str) -> int:
    """Return which broker coordinates a group, or a transactional id.

    Args:
        admin: Whom to ask.
        topic: Where Kafka keeps groups, or transactions.
        name: Of the group, or the id.
    """
    with mapped(f"looking for the coordinator of {name}"):
        partitions = admin.list_topics(topic, timeout=ASK_SECONDS).topics[topic].partitions
    return int(partitions[java_hash(name) % len(partitions)].leader)


def java_hash(text: str) -> int:
    """Return a string's hash as Java has it, without its sign: so Kafka picks the partition."""
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    return value if value < 2**31 else (2**32 - value) % 2**31


def in_sync(admin: AdminClient) -> bool:
    """Say whether every partition has all of its replicas, and a leader."""
    with mapped("looking for replicas"):
        topics = admin.list_topics(timeout=ASK_SECONDS).topics.values()
    partitions = [each for topic in topics for each in topic.partitions.values()]
    return all(each.leader >= 0 and len(each.isrs) == len(each.replicas) for each in partitions)


@contextmanager
def slow(cluster: KafkaCluster) -> Iterator[None]:
    """Let the brokers answer once in a while only.

    Requests then take up most of the time, so that a kill hits a process in the middle of a
    commit, between two requests, and seldom at work, where it would do little harm.
    """
    done = Event()

    def stutter() -> None:
        while not done.wait(RUN_SECONDS):
            for broker in cluster.brokers:
                cluster.pause(broker)
            time.sleep(PAUSE_SECONDS)
            for broker in cluster.brokers:
                cluster.resume(broker)

    thread = Thread(target=stutter, name="slow-broker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
