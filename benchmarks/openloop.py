"""The two ends of a latency measurement, each run as a process of its own by ``latency.py``.

``generate`` sends records when they are due, whether or not earlier ones have arrived, and writes
the time at which each was due into its Kafka timestamp, which the pipeline keeps. ``read`` reads
the output as ``read_committed`` and compares that time with the clock: a stall anywhere counts for
every record that was due meanwhile.

Left out: clocks that differ (both ends are on one machine), and parts of a millisecond: the time
due is cut to whole ones, so that figures are up to 1 ms too high.

Each tells what it has found by JSON on its stdout.
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Producer

from benchmarks.broker import committed_reader, sample_values

TICK = 0.001
GIVE_UP_SECONDS = 10.0


def generate(servers: str, topic: str, rate: int, begin: float, seconds: float) -> None:
    """Send ``rate`` records a second from the moment ``begin`` on; tell how late they were sent."""
    pool = sample_values(20_000, filtered=0)
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 1,
        }
    )
    late: list[float] = []
    while len(late) < rate * seconds:
        for number in range(len(late), min(int((time.time() - begin) * rate), int(rate * seconds))):
            key, value = pool[number % len(pool)]
            due = round(begin * 1000) + number * 1000 // rate
            while True:
                try:
                    producer.produce(topic, value, key, timestamp=due)
                    break
                except BufferError:
                    producer.poll(TICK)
            late.append(time.time() * 1000 - due)
        producer.poll(0)
        time.sleep(TICK)
    if left := producer.flush(GIVE_UP_SECONDS):
        raise SystemExit(f"the broker did not take {left:,} of {len(late):,} records")
    print(json.dumps({"late_ms": round(sorted(late)[int(len(late) * 0.99)], 1)}))


def read(servers: str, topic: str, begin: float, seconds: float, expected: int) -> None:
    """Tell the latencies, in milliseconds, of records due within a time, each counted once."""
    consumer = committed_reader(servers, topic)
    first, last = begin * 1000, (begin + seconds) * 1000
    latencies: list[float] = []
    known: set[tuple[bytes | None, int]] = set()  # a key's next record comes seconds later
    twice = 0
    while len(latencies) < expected and time.time() < begin + seconds + GIVE_UP_SECONDS:
        # One at first, then what is there: to wait for a number of records would be our latency.
        messages = consumer.consume(1, 0.1)
        messages += consumer.consume(1000, 0) if messages else []
        now = time.time() * 1000
        for message in messages:
            due = message.timestamp()[1]
            if first <= due < last:
                which = (message.key(), due)
                if which in known:
                    twice += 1
                    continue
                known.add(which)
                latencies.append(now - due)
    print(json.dumps({"latencies": [round(each, 1) for each in latencies], "twice": twice}))


if __name__ == "__main__":
    role, servers, topic, *numbers = sys.argv[1:]
    if role == "generate":
        generate(servers, topic, int(numbers[0]), *map(float, numbers[1:]))
    else:
        read(servers, topic, float(numbers[0]), float(numbers[1]), int(numbers[2]))
