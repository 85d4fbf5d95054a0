"""Settings to librdkafka configuration, one function per kind of client. Pure.

Every value that we set has its reason beside it; the user's EXTRA settings come last and win,
but for the keys that ``settings.OWNED_CLIENT_KEYS`` protects.
"""

from __future__ import annotations

from typing import NamedTuple

from lanternpipe.kafka.security import Config, security_config
from lanternpipe.settings import KafkaSettings

__all__ = [
    "Config",
    "at_least_once_config",
    "client_config",
    "consumer_config",
    "producer_config",
    "transactional_config",
]


class ByteLimits(NamedTuple):
    """What a producer may send at once.

    Attributes:
        record: The largest single record, in bytes.
        batch: The largest batch of records, in bytes.
    """

    record: int = 2 * 1024 * 1024
    batch: int = 512 * 1024


DEFAULT_LIMITS = ByteLimits()

# Records and kilobytes that wait in a producer before `send` waits, too.
QUEUE_RECORDS = 100_000
QUEUE_KILOBYTES = 64 * 1024
FETCH_BYTES = 64 * 1024

# The client's numbers for our metrics; at every second they would cost a part of the throughput.
STATISTICS_MS = 10_000


def client_config(kafka: KafkaSettings) -> Config:
    """Return what all clients share."""
    return {
        "bootstrap.servers": kafka.bootstrap_servers,
        # Metrics are served by us; KIP-714 would send others to the broker, without lag.
        "enable.metrics.push": False,
        # A broker that went away is tried again within a second, not within ten.
        "reconnect.backoff.max.ms": 1_000,
        # Reconnections are normal life and said once by us; the client says them every time.
        "log.connection.close": False,
        **security_config(kafka.security),
        **kafka.extra,
    }


def consumer_config(
    kafka: KafkaSettings, *, instance: str | None, fetch_seconds: float | None = None
) -> Config:
    """Return the configuration of the processor's consumer.

    Args:
        kafka: The connection and the group.
        instance: Of this process, where it has one.
        fetch_seconds: How long a broker may gather records before it answers a fetch; by default
            it answers as soon as there is any.
    """
    config: Config = {
        **client_config(kafka),
        "group.id": kafka.group_id,
        "max.poll.interval.ms": _ms(kafka.max_poll_interval),
        # Offsets are committed by us, when the work on them is done, and never before.
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # A partition without valid offset is decided by us and logged, never a silent jump.
        "auto.offset.reset": "error",
        # Tells the offset behind transaction markers, without which lag never reaches 0.
        "enable.partition.eof": True,
        # What an upstream transaction took back must not be processed.
        "isolation.level": "read_committed",
        # By default a full local queue stops fetching for a whole second, and starves a fast
        # consumer: 2.5 times the throughput at the same memory.
        "fetch.queue.backoff.ms": 10,
        # Bounds how long a seek waits behind a fetch in progress; data is answered at once.
        "fetch.wait.max.ms": 100,
        "statistics.interval.ms": STATISTICS_MS,
        # Bounds memory, whatever the size of the backlog and of its records; and what waits in a
        # longer queue has fallen out of the CPU's cache when its turn comes.
        "queued.max.messages.kbytes": 8 * 1024,
    }
    if fetch_seconds is not None:
        # Many small answers cost us and the broker most of what a record costs when caught up: at
        # 5,000 records a second these two take two thirds of our CPU time away. Bytes are rarely
        # reached then, so the wait is latency; while behind they are there at once.
        config["fetch.min.bytes"] = FETCH_BYTES
        config["fetch.wait.max.ms"] = _ms(fetch_seconds)
    if kafka.group_protocol == "consumer":
        config["group.protocol"] = "consumer"
    else:
        # Incremental: partitions that stay are not interrupted by a rebalance.
        config["partition.assignment.strategy"] = "cooperative-sticky"
        config["session.timeout.ms"] = _ms(kafka.session_timeout)
        # A third of the session, as the broker expects, but quick enough to join at once.
        config["heartbeat.interval.ms"] = min(3_000, _ms(kafka.session_timeout / 3))
    if kafka.static_membership and instance is not None:
        config["group.instance.id"] = instance
    return {**config, **kafka.extra, **kafka.consumer_extra}


def producer_config(
    kafka: KafkaSettings, limits: ByteLimits = DEFAULT_LIMITS, **own: str | float
) -> Config:
    """Return what all producers share: nothing lost, nothing twice, order kept.

    Args:
        kafka: The connection.
        limits: How much to send at once.
        own: What this kind of producer needs besides, with ``_`` for ``.``.
    """
    return {
        **client_config(kafka),
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": kafka.compression,
        # Java's partitioner, so that topics written from both sides are partitioned alike.
        "partitioner": "murmur2_random",
        # Long enough to fill batches while behind, short enough not to be seen in latency.
        "linger.ms": 5,
        "message.max.bytes": limits.record,
        "batch.size": limits.batch,
        "queue.buffering.max.messages": QUEUE_RECORDS,
        # 1 GB by default: a slow broker would become our memory.
        "queue.buffering.max.kbytes": QUEUE_KILOBYTES,
        # A callback per record would cost a tenth of the throughput; failures are told always.
        "delivery.report.only.error": True,
        # An unknown topic is an error of configuration; do not wait half a minute for it.
        "topic.metadata.propagation.max.ms": 5_000,
        **{name.replace("_", "."): value for name, value in own.items()},
        **kafka.extra,
        **kafka.producer_extra,
    }


def transactional_config(
    kafka: KafkaSettings, limits: ByteLimits = DEFAULT_LIMITS, *, transactional_id: str
) -> Config:
    """Return the configuration of the processor's producer under exactly-once."""
    return producer_config(
        kafka,
        limits,
        transactional_id=transactional_id,
        transaction_timeout_ms=_ms(kafka.transaction_timeout),
        # Fuller batches while behind; when caught up, each commit flushes at once anyway.
        linger_ms=20,
        statistics_interval_ms=STATISTICS_MS,
        # Cures calls that hang after an orderly stop of the coordinator (librdkafka#5456): the
        # idle connection that closes wakes the stuck request.
        connections_max_idle_ms=10_000,
        # When no broker answers, the default throws all known brokers away, and with them the
        # one that the same request waits for: then it hangs for ever (librdkafka#5511).
        metadata_recovery_strategy="none",
        # The only word of a connection that was lost with a request to commit on its way: the
        # client asks again unasked, and the first request may come late (KAFKA-17754).
        log_connection_close=True,
    )


def at_least_once_config(kafka: KafkaSettings, limits: ByteLimits = DEFAULT_LIMITS) -> Config:
    """Return the configuration of the processor's producer under at-least-once."""
    return producer_config(
        kafka,
        limits,
        # For ever: a broker that is away is waited for, records are not given up.
        message_timeout_ms=0,
        # Readers wait for it: long enough for what was processed together to be sent together.
        # While behind, a queue of requests makes fuller batches anyway.
        linger_ms=0.5,
        statistics_interval_ms=STATISTICS_MS,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)
