"""The client's own statistics, in base units."""

from __future__ import annotations

import json

from lanternpipe.kafka.stats import Figure, StatisticsWatch
from lanternpipe.testing.doubles import Clock

CONSUMER = {
    "type": "consumer",
    "replyq": 2,
    "rxmsgs": 10,
    "rxmsg_bytes": 2_000,
    "brokers": {
        "a:1/1": {
            "nodeid": 1,
            "state": "UP",
            "connects": 1,
            "rtt": {"p99": 1_500},
            "throttle": {"p99": 20},
        },
        "b:1/2": {"nodeid": 2, "state": "INIT", "connects": 0},
        "c:1/3": {"nodeid": 3, "state": "DOWN", "connects": 2, "disconnects": 2},
        "bootstrap": {"nodeid": -1, "state": "UP", "connects": 1},
    },
    "topics": {
        "in": {
            "partitions": {
                "0": {"fetchq_cnt": 3, "fetchq_size": 600},
                "1": {"fetchq_cnt": 4, "fetchq_size": 800},
                "-1": {"fetchq_cnt": 99},
            }
        }
    },
}
PRODUCER = {"type": "producer", "msg_cnt": 1, "msg_max": 9, "msg_size": 200}


def figures(told: object) -> dict[tuple[str, str], float]:
    """Return what is made of statistics that were told three seconds ago."""
    clock = Clock()
    watch = StatisticsWatch(clock)
    assert list(watch.figures()) == []
    watch.take(json.dumps(told))
    clock.now = 3.0
    found: list[Figure] = list(watch.figures())
    return {(each.metric, each.broker): each.value for each in found}


def test_consumer() -> None:
    """A consumer tells what it received and what it has fetched ahead."""
    found = figures(CONSUMER)
    assert found["rdkafka_stats_age_seconds", ""] == 3.0
    assert found["rdkafka_messages_received", ""] == 10
    assert found["rdkafka_fetch_queue_records", ""] == 7
    assert found["rdkafka_fetch_queue_bytes", ""] == 1_400
    assert not any(name.startswith("rdkafka_producer") for name, _ in found)


def test_brokers() -> None:
    """A broker is told on once it was needed, with latencies in seconds."""
    found = figures(CONSUMER)
    assert {broker for _, broker in found} == {"", "1", "3"}
    assert (found["rdkafka_broker_up", "1"], found["rdkafka_broker_up", "3"]) == (True, False)
    assert found["rdkafka_broker_rtt_p99_seconds", "1"] == 0.0015
    assert found["rdkafka_broker_throttle_p99_seconds", "1"] == 0.02


def test_producer() -> None:
    """A producer tells of its queue."""
    found = figures(PRODUCER)
    assert found["rdkafka_producer_queue_limit_records", ""] == 9
    assert found["rdkafka_producer_queue_bytes", ""] == 200
    assert ("rdkafka_messages_received", "") not in found
