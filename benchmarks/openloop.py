"""The two ends of a latency measurement, each run as a process of its own by ``latency.py``.

``generate`` sends records when they are due, whether or not earlier ones have arrived, and writes
the time at which each was due into its Kafka timestamp, which the pipeline keeps. ``read`` reads
the output as ``read_committed`` and compares that time with the clock: a stall anywhere counts for
every record that was due meanwhile.

Left out: clocks that differ (both ends are on one machine), and parts of a millisecond: the time
due is cut to whole ones, so that figures are up to 1 ms too high.
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from benchmarks.broker import PARTITIONS, sample_values

TICK = 0.001
GIVE_UP_SECONDS = 10.0


def generate(servers: str, topic: str, rate: int, begin: float, seconds: float) -> None:
    """Send ``rate`` records a second from the moment ``begin`` on."""
    pool = sample_values(20_000, filtered=0)
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 1,
        }
    )
    sent = 0
    while sent < rate * seconds:
        for number in range(sent, min(int((time.time() - begin) * rate), int(rate * seconds))):
            key, value = pool[number % len(pool)]
            due = round(begin * 1000) + number * 1000 // rate
            producer.produce(topic, value, key, timestamp=due)
            sent += 1
        producer.poll(0)
        time.sleep(TICK)
    producer.flush(GIVE_UP_SECONDS)


def read(servers: str, topic: str, begin: float, seconds: float, expected: int) -> None:
    """Print the latencies, in milliseconds, of records due within a time, as a JSON list."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "bench-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in range(PARTITIONS)])
    first, last = begin * 1000, (begin + seconds) * 1000
    latencies: list[float] = []
    while len(latencies) < expected and time.time() < begin + seconds + GIVE_UP_SECONDS:
        # One at first, then what is there: to wait for a number of records would be our latency.
        messages = consumer.consume(1, 0.1)
        messages += consumer.consume(1000, 0) if messages else []
        now = time.time() * 1000
        for message in messages:
            due = message.timestamp()[1]
            if first <= due < last:
                latencies.append(now - due)
    print(json.dumps([round(latency, 1) for latency in latencies]))


if __name__ == "__main__":
    role, servers, topic, *numbers = sys.argv[1:]
    if role == "generate":
        generate(servers, topic, int(numbers[0]), *map(float, numbers[1:]))
    else:
        read(servers, topic, float(numbers[0]), float(numbers[1]), int(numbers[2]))
