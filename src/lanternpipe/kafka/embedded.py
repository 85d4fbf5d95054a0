"""A broker within this process: librdkafka's mock cluster, for the demo and for quick tests.

It keeps everything in memory, and of each partition only the last 5 MB: the oldest records vanish
without a word. Auto-created topics have four partitions; admin requests are not answered. Aborted
records can be read and offsets sent with a transaction are not remembered, so it is no evidence
for exactly-once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException, Producer

from lanternpipe.kafka.clients import Events
from lanternpipe.kafka.errors import failure
from lanternpipe.ports import Log
from lanternpipe.settings import KafkaSettings

START_SECONDS = 10.0


@contextmanager
def embedded_broker(topics: Iterable[str], *, log: Log) -> Iterator[str]:
    """Run a broker that has ``topics``; yield its address.

    Raises:
        KafkaFailure: It does not start.
    """
    client = Producer({"test.mock.num.brokers": 1, **Events("embedded-broker", log).hooks()})
    try:
        brokers = client.list_topics(timeout=START_SECONDS).brokers.values()
        for topic in topics:
            client.list_topics(topic, timeout=START_SECONDS)  # to ask for one is to create it
    except KafkaException as error:
        raise failure(error.args[0], "starting the broker in memory") from error
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    del client  # the broker lives as long as this object


def embedded_settings(kafka: KafkaSettings, address: str) -> KafkaSettings:
    """Return settings for clients of an embedded broker.

    Nothing else of ``kafka`` is kept: encryption, logins and tuning are meant for real brokers.
    """
    return KafkaSettings(
        bootstrap_servers=address,
        group_id=kafka.group_id,
        # Joins within a tenth of a second; the classic protocol takes three here.
        group_protocol="consumer",
        # A fetch that finds nothing is answered after this wait, whatever arrives meanwhile.
        consumer_extra={"fetch.wait.max.ms": "10"},
        # To find a record batch it walks through all that it keeps, which costs more and more
        # until it starts to drop them. Fewer, larger ones: a third of the processor time.
        compression="none",
        producer_extra={"linger.ms": "40"},
    )
