"""Restart: a process is killed and started again at once; when do outputs come again?

While records are sent at a steady rate, a reader of committed records waits for the first output of
a record that was due after the kill. Each at its own settings: what they wait for is the session of
the killed member, and where outputs are transactional, the end of its open transaction.
"""

from __future__ import annotations

import time
import uuid

import msgspec

from benchmarks.broker import Broker, committed_reader
from benchmarks.contender import running
from benchmarks.latency import Start

RATE = 1_000
RUN_SECONDS = 12.0
GIVE_UP_SECONDS = 120.0


class Restart(msgspec.Struct):
    """Seconds from the kill until a reader of committed records saw new outputs again."""

    contender: str
    seconds: float


def measure(contender: str, start: Start, broker: Broker) -> Restart:
    """Measure once."""
    run = uuid.uuid4().hex[:8]
    source, target = f"bench-restart-in-{run}", f"bench-restart-out-{run}"
    broker.create(target)
    topics = [target, *broker.create_input(source)]
    generate = ["-m", "benchmarks.openloop", "generate", broker.servers, source, str(RATE)]
    generate += [str(int(time.time()) + 2), str(RUN_SECONDS + GIVE_UP_SECONDS)]
    with running(generate) as sender:
        with start(source, target) as first:
            time.sleep(RUN_SECONDS)
            first.check()
            first.kill()
        killed = time.time()
        with start(source, target) as second:
            seconds = seen_after(killed, broker, target) - killed
            second.check()
        sender.check()
    for topic in topics:
        broker.delete(topic)
    return Restart(contender, seconds)


def seen_after(moment: float, broker: Broker, topic: str) -> float:
    """Return when the first output of a record that was due after a moment is seen."""
    consumer = committed_reader(broker.servers, topic)
    try:
        while time.time() < moment + GIVE_UP_SECONDS:
            messages = consumer.consume(500, 0.05)
            if any(message.timestamp()[1] > moment * 1_000 for message in messages):
                return time.time()
    finally:
        consumer.close()
    return float("inf")
