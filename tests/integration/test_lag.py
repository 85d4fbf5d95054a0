"""Lag while the loop is held up, beside what librdkafka tells of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from lanternpipe.kafka.config import consumer_config, transactional_config
from lanternpipe.settings import KafkaSettings
from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.waiting import until
from tests.chaos.workload import Record, workload
from tests.integration.deployed import SECONDS, Deploy, drain, send
from tests.scrape import scraped, value

pytestmark = pytest.mark.kafka

# One record takes as long as the gate is closed, and otherwise its time; the transform says which.
GATED = """
import os, time
from dataclasses import replace
from pathlib import Path
from logins.pipeline import pipeline as fast

folder = Path(__file__).parent
gate, held = folder / "gate", folder / "held"
at, partial = folder / "at", folder / "at.partial"

def transform(login, ctx):
    partial.write_text(login.device_id.removeprefix("id-"))
    os.replace(partial, at)
    while gate.exists():
        held.touch()
        time.sleep(0.01)
    held.unlink(missing_ok=True)
    time.sleep(0.01)
    return fast.transform(login, ctx)

pipeline = replace(fast, transform=transform)
"""


class Held:
    """A processor that takes one record at a time, and stands still while its gate is closed."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self._deployment = deployment
        self._gate, self._at, self._held = folder / "gate", folder / "at", folder / "held"
        self.stands = self._held.exists
        self.processor = Processor(deployment, "processor")

    def close(self) -> None:
        """Let the next record wait."""
        self._gate.touch()

    def open(self) -> None:
        """Let records go on."""
        self._gate.unlink(missing_ok=True)

    def forget(self) -> None:
        """Know of no position until the next record."""
        self._at.unlink()

    def position(self) -> int:
        """Return the offset behind the record that is in the transform; 0 before the first."""
        return int(self._at.read_text()) + 1 if self._at.exists() else 0

    def end(self) -> int:
        """Return where the input ends, asked by a client of the test's own."""
        return self._deployment.ends(self._deployment.input)[0]

    def lag_and_age(self) -> tuple[float | None, float]:
        """Return the lag that is shown, and the moment from which at the latest its end is."""
        before = time.time()
        text = scraped(self.processor.metrics)
        age = value(text, "pipeline_watermark_age_seconds")
        asked = 0.0 if age is None else before - age
        return value(text, "pipeline_consumer_lag_records"), asked


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_lag_is_true_while_the_loop_is_held_up(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivery: str
) -> None:
    """A loop that is slow or stands still shows its true lag, from its first batch on."""
    (tmp_path / "gated.py").write_text(GATED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    deployment = deploy(partitions=1, APP="gated:pipeline", BATCH_RECORDS="1", DELIVERY=delivery)
    held = Held(deployment, tmp_path)
    records = list(workload(1, 400, filtered=0.0, poison=0.0))

    send(deployment, records[:200])
    held.processor.start_and_join()
    until(lambda: held.position() > 10, SECONDS, "the first of them done")
    assert held.processor.stop() == 0

    held.forget()
    held.close()
    held.processor.start_and_join()
    until(held.stands, SECONDS, "the first record of a second life held")
    until(lambda: held.lag_and_age()[0] == 200 - held.position(), SECONDS, "lag in a first batch")

    held.open()  # from here on it is slow
    until(lambda: within_bounds(held) and held.position() > 100, SECONDS, "half of them done")

    held.close()
    until(held.stands, SECONDS, "one record held")
    assert held.lag_and_age()[0] == 200 - held.position()
    send(deployment, records[200:])
    assert_new_end_is_shown(held, time.time())
    behind = held.end() - deployment.committed()[deployment.partitions[0]]
    assert behind >= 400 - held.position()

    held.open()
    drain(deployment)
    until(lambda: held.lag_and_age()[0] == 0, SECONDS, "no lag")
    assert held.processor.stop() == 0


def within_bounds(held: Held) -> bool:
    """Fail unless the lag is that of a moment during the scrape."""
    before, (lag, _), after = held.position(), held.lag_and_age(), held.position()
    end = held.end()
    assert lag is not None
    assert end - after - 1 <= lag <= end - before  # one may be handed out and not begun
    return True


def assert_new_end_is_shown(held: Held, since: float) -> None:
    """Fail unless the first lag whose stated age is from after a moment knows the end of then."""

    def asked_since() -> bool:
        lag, asked = held.lag_and_age()
        if asked < since:
            return False
        assert lag == held.end() - held.position()
        return True

    until(asked_since, SECONDS, "an end that was asked for since")


def test_librdkafkas_own_lag_does_not_tell(deploy: Deploy) -> None:
    """Under exactly once the client's own lag is unknown at first, and frozen in a second life."""
    deployment = deploy(partitions=1)
    settings = KafkaSettings(bootstrap_servers=deployment.servers, group_id=deployment.group)
    records: list[Record] = list(workload(1, 150, filtered=0.0, poison=0.0))
    send(deployment, records[:100])

    with beside(settings, deployment.input) as (take, own):
        take(30)
        assert true_lag(deployment) == 70
        assert own() == -1
        send(deployment, records[100:])
        assert true_lag(deployment) == 120
        assert own() == -1
    with beside(settings, deployment.input) as (take, own):
        take(20)
        assert true_lag(deployment) == 100
        assert own() == 120  # from where it began


def true_lag(deployment: Deployment) -> int:
    """Return what the program tells of the group, which is what the test's own clients find."""
    told = int(json.loads(deployment.run("lag", "--json"))["records"])
    end = deployment.ends(deployment.input)[0]
    assert told == end - deployment.committed()[deployment.partitions[0]]
    return told


@contextmanager
def beside(
    settings: KafkaSettings, topic: str
) -> Iterator[tuple[Callable[[int], None], Callable[[], int]]]:
    """Run clients with the program's settings; give what takes records and what tells their lag.

    What is taken is committed by a transaction, and then the consumer is paused.
    """
    told: list[str] = []
    here = [TopicPartition(topic, 0)]
    config: dict[str, Any] = {
        **consumer_config(settings, instance=None),
        "auto.offset.reset": "earliest",  # the program seeks there by itself
        "statistics.interval.ms": 200,
        "stats_cb": told.append,
    }
    consumer = Consumer(config)
    producer = Producer(transactional_config(settings, transactional_id=f"{topic}-beside"))

    def take(count: int) -> None:
        offsets: list[int] = []

        def taken() -> bool:
            found = consumer.consume(count - len(offsets), 0.1)
            offsets.extend(each.offset() or 0 for each in found if each.error() is None)
            return len(offsets) == count

        until(taken, SECONDS, "records")
        consumer.pause(here)
        producer.begin_transaction()
        behind = [TopicPartition(topic, 0, offsets[-1] + 1)]
        producer.send_offsets_to_transaction(behind, consumer.consumer_group_metadata())
        producer.commit_transaction()

    def own() -> int:
        told.clear()

        def again() -> bool:
            consumer.consume(1, 0.1)
            return len(told) > 1  # the first may be from before

        until(again, SECONDS, "statistics")
        return int(json.loads(told[-1])["topics"][topic]["partitions"]["0"]["consumer_lag"])

    try:
        consumer.subscribe([topic])
        producer.init_transactions(SECONDS)
        yield take, own
    finally:
        consumer.close()
