"""The client's own statistics, as it hands them out in JSON, read when somebody asks.

Units differ from field to field: latencies are microseconds, throttle is milliseconds. See
librdkafka's STATISTICS.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec

UP: Final = frozenset({"UP", "REAUTH"})


class Window(msgspec.Struct, frozen=True):
    """Percentiles of the last interval."""

    p99: int = 0


class Broker(msgspec.Struct):
    """One broker, as far as it is told on."""

    nodeid: int = -1
    state: str = "INIT"
    waitresp_cnt: int = 0
    txerrs: int = 0
    rxerrs: int = 0
    req_timeouts: int = 0
    connects: int = 0
    disconnects: int = 0
    rtt: Window = Window()
    throttle: Window = Window()
    int_latency: Window = Window()


class Partition(msgspec.Struct):
    """One partition, as far as it is told on."""

    fetchq_cnt: int = 0
    fetchq_size: int = 0


class Topic(msgspec.Struct):
    """One topic."""

    partitions: dict[str, Partition] = {}


class Statistics(msgspec.Struct):
    """All that is told on."""

    type: str = ""
    replyq: int = 0
    msg_cnt: int = 0
    msg_max: int = 0
    msg_size: int = 0
    txmsgs: int = 0
    txmsg_bytes: int = 0
    rxmsgs: int = 0
    rxmsg_bytes: int = 0
    brokers: dict[str, Broker] = {}
    topics: dict[str, Topic] = {}


class Figure(NamedTuple):
    """One number: the name of its metric, the broker or nothing, and the value in base units."""

    metric: str
    broker: str
    value: float


class StatisticsWatch:
    """Keeps a client's latest statistics.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._text = ""

    def take(self, text: str) -> None:
        """Keep what the client has just told; called by the client."""
        self._text, self._at = text, self._clock()

    def figures(self) -> Iterator[Figure]:
        """Yield what was told last, and how old that is; nothing before the first."""
        if not self._text:
            return
        yield Figure("rdkafka_stats_age_seconds", "", self._clock() - self._at)
        yield from figures(msgspec.json.decode(self._text, type=Statistics))


def figures(told: Statistics) -> Iterator[Figure]:
    """Yield statistics in base units. Pure."""
    partitions = [
        each
        for topic in told.topics.values()
        for number, each in topic.partitions.items()
        if number != "-1"
    ]
    yield Figure("rdkafka_reply_queue_operations", "", told.replyq)
    if told.type == "producer":
        yield Figure("rdkafka_producer_queue_records", "", told.msg_cnt)
        yield Figure("rdkafka_producer_queue_limit_records", "", told.msg_max)
        yield Figure("rdkafka_producer_queue_bytes", "", told.msg_size)
        yield Figure("rdkafka_messages_sent", "", told.txmsgs)
        yield Figure("rdkafka_message_sent_bytes", "", told.txmsg_bytes)
    else:
        yield Figure("rdkafka_messages_received", "", told.rxmsgs)
        yield Figure("rdkafka_message_received_bytes", "", told.rxmsg_bytes)
        fetched = sum(each.fetchq_cnt for each in partitions)
        yield Figure("rdkafka_fetch_queue_records", "", fetched)
        size = sum(each.fetchq_size for each in partitions)
        yield Figure("rdkafka_fetch_queue_bytes", "", size)
    for broker in told.brokers.values():
        # Connections are made when needed: one that never was says nothing about the broker.
        if broker.nodeid >= 0 and broker.connects and broker.state != "INIT":
            yield from _of_broker(broker, str(broker.nodeid))


def _of_broker(told: Broker, name: str) -> Iterator[Figure]:
    yield Figure("rdkafka_broker_up", name, told.state in UP)
    yield Figure("rdkafka_broker_rtt_p99_seconds", name, told.rtt.p99 / 1e6)
    yield Figure("rdkafka_broker_throttle_p99_seconds", name, told.throttle.p99 / 1e3)
    yield Figure("rdkafka_broker_internal_queue_p99_seconds", name, told.int_latency.p99 / 1e6)
    yield Figure("rdkafka_broker_inflight_requests", name, told.waitresp_cnt)
    yield Figure("rdkafka_broker_errors", name, told.txerrs + told.rxerrs)
    yield Figure("rdkafka_broker_request_timeouts", name, told.req_timeouts)
    yield Figure("rdkafka_broker_disconnects", name, told.disconnects)
