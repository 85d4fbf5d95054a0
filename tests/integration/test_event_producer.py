"""``EventProducer`` and the example service that uses it, on a real broker."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lanternpipe import DeliveryError, EventProducer, Topic
from lanternpipe.kafka.admin import describe_partitions, open_admin
from lanternpipe.kafka.config import client_config
from lanternpipe.kafka.topics import DeclaredTopic, apply
from lanternpipe.settings import KafkaSettings
from lanternpipe.testing.kafka_cluster import KafkaCluster
from logins.events import UserLogin
from logins.pipeline import pipeline
from tests.commands import environment
from tests.integration.test_commands import SAMPLE

pytestmark = pytest.mark.kafka
EXAMPLE = Path(__file__).parents[2] / "examples/login_service.py"
LOGIN = UserLogin("u", "2.3.0", "192.0.2.1", "NV", "d", 1_729_741_922, "iOS")


def silent(level: str, event: str, **fields: object) -> None:
    """Log nothing."""


@pytest.fixture(name="connection")
def _connection(kafka: KafkaCluster) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)


@pytest.fixture(name="topic")
def _topic(connection: KafkaSettings, unique: Callable[[str], str]) -> Topic[UserLogin]:
    topic = replace(pipeline.input, name=unique("logins"))
    admin = open_admin(client_config(connection), log=silent)
    apply(admin, [DeclaredTopic(topic.name, 3, 1)])
    assert len(describe_partitions(admin, topic.name)) == 3
    return topic


@pytest.mark.parametrize("background", [True, False])
def test_send_and_wait(
    connection: KafkaSettings, topic: Topic[UserLogin], *, background: bool
) -> None:
    """`send_and_wait` returns where the record is stored; one key stays in one partition."""
    with EventProducer(topic, connection, background=background) as producer:
        places = [producer.send_and_wait(LOGIN) for _ in range(3)]

    assert {(place.topic, place.partition) for place in places} == {
        (topic.name, places[0].partition)
    }
    assert [place.offset for place in places] == [0, 1, 2]
    assert (producer.sent, producer.acknowledged, producer.failed) == (3, 3, 0)


def test_many_threads_and_a_small_queue(connection: KafkaSettings, topic: Topic[UserLogin]) -> None:
    """With a queue far smaller than what threads send, all wait and nothing is dropped."""
    small = connection.model_copy(update={"producer_extra": {"queue.buffering.max.messages": "50"}})
    with EventProducer(topic, small) as producer:

        def send() -> None:
            for _ in range(1_000):
                producer.send(LOGIN)

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        assert producer.flush(30) == 0
    assert (producer.sent, producer.acknowledged, producer.failed) == (4_000, 4_000, 0)


def test_nobody_answers(topic: Topic[UserLogin]) -> None:
    """Without a broker `send_and_wait` raises in time, and `close` tells what is undelivered."""
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    producer = EventProducer(topic, nowhere)

    with pytest.raises(DeliveryError, match="no answer within"):
        producer.send_and_wait(LOGIN, timeout=0.5)

    assert producer.close(0.1) == 1


def test_full_queue_is_an_error_in_time(topic: Topic[UserLogin]) -> None:
    """A queue that stays full raises after `full_timeout`, with a question about the broker."""
    nowhere = KafkaSettings(
        bootstrap_servers="127.0.0.1:1", producer_extra={"queue.buffering.max.messages": "5"}
    )
    producer = EventProducer(topic, nowhere, full_timeout=0.3)

    for _ in range(5):
        producer.send(LOGIN)
    with pytest.raises(DeliveryError, match="is the broker reachable"):
        producer.send(LOGIN)
    producer.close(0)


def test_example_service(connection: KafkaSettings) -> None:
    """The example answers 202 with the place, 400 for what is no login, and ends at SIGTERM."""
    env = environment(connection.bootstrap_servers) | {"PORT": "0"}
    # The example sends to the topic by its declared name.
    admin = open_admin(client_config(connection), log=silent)
    apply(admin, [DeclaredTopic(pipeline.input.name, 3, 1)])
    with subprocess.Popen([sys.executable, EXAMPLE], env=env, stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        port = re.search(rb":(\d+)/login", service.stdout.readline())
        assert port is not None

        def post(body: bytes) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=30)
            connection.request("POST", "/login", body)
            answer = connection.getresponse()
            return answer.status, answer.read()

        good, bad = post(SAMPLE), post(b'{"user_id": 1}')
        service.terminate()
        assert service.wait(30) == 0

    assert good[0] == 202
    assert b'"topic": "user-login"' in good[1]
    assert bad[0] == 400
