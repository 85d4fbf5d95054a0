"""`lanternpipe journey` on a real broker: what became of single events."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from confluent_kafka import KafkaError, Message, Producer

from lanternpipe.kafka.search import partition_of
from lanternpipe.records import Place
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.commands import environment, run, started

pytestmark = pytest.mark.kafka

LOGIN = (
    b'{"user_id": "u", "app_version": "2.3.0", "ip": "91.42.227.164", "locale": "NV", '
    b'"device_id": "d", "timestamp": 1729741922, "device_type": "iOS"}'
)
OLD = LOGIN.replace(b"2.3.0", b"1.0.0")
BROKEN = LOGIN.replace(b"2.3.0", b"newest")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01".encode()
SECONDS = 60.0


class Event(NamedTuple):
    """An event to send; ``late`` is how many seconds ago it happened."""

    key: bytes | None
    value: bytes
    late: int = 0


@pytest.fixture(name="env")
def _env(kafka: KafkaCluster, unique: Callable[[str], str]) -> dict[str, str]:
    """Return an environment with topics and a group of its own."""
    env = environment(
        kafka.bootstrap_servers,
        TOPICS__INPUT=unique("user-login"),
        TOPICS__OUTPUT=unique("processed-user-login"),
        KAFKA__GROUP_ID=unique("group"),
    )
    made = run(env, "topics", "apply")
    assert made.returncode == 0, made.stderr
    return env


def send(env: dict[str, str], *events: Event, **config: str) -> list[Place]:
    """Send events in order, with a trace, and return where they are."""
    places: dict[int, Place] = {}
    producer = Producer(
        {
            "bootstrap.servers": env["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"],
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            **config,
        }
    )
    now = time.time_ns() // 1_000_000
    for number, event in enumerate(events):

        def told(error: KafkaError | None, message: Message, number: int = number) -> None:
            assert error is None
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None
            assert partition is not None
            assert offset is not None
            places[number] = Place(topic, partition, offset)

        producer.produce(
            env["PIPELINE_TOPICS__INPUT"],
            event.value,
            event.key,
            timestamp=now - 1_000 * event.late,
            headers=[("traceparent", TRACEPARENT)],
            on_delivery=told,
        )
    assert producer.flush(SECONDS) == 0
    return [places[number] for number in range(len(events))]


def processed(env: dict[str, str]) -> None:
    """Process all that is there."""
    with started(env, "process"):
        deadline = time.monotonic() + SECONDS
        while json.loads(run(env, "lag", "--json").stdout)["records"]:
            assert time.monotonic() < deadline, "lag does not reach 0"
            time.sleep(0.1)


def journey(env: dict[str, str], *arguments: object) -> dict[str, Any]:
    """Return what the command says of an event to programs."""
    done = run(env, "journey", "--json", *map(str, arguments))
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(env: dict[str, str], *arguments: object) -> tuple[int, str]:
    """Return the code and the only line of a command that fails."""
    done = run(env, "journey", *map(str, arguments))
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return done.returncode, line


def test_what_became_of_events(env: dict[str, str]) -> None:
    """An event is found processed, filtered, dead-lettered or waiting, with all that is known."""
    good, old, broken = send(
        env,
        Event(b"alice", LOGIN),
        Event(b"bob", OLD),
        Event(b"carol", BROKEN),
    )
    before = journey(env, good)
    assert (before["outcome"], before["group"]["committed"]) == ("waiting", None)
    processed(env)
    (later,) = send(env, Event(b"alice", LOGIN))

    found = journey(env, good)
    assert found["outcome"] == "processed"
    assert not found["candidates"]
    (output,) = found["outputs"]
    assert output["topic"] == env["PIPELINE_TOPICS__OUTPUT"]
    assert output["partition"] == good.partition == partition_of(b"alice", 6)
    assert output["timestamp"] == found["input"]["timestamp"]
    assert found["input"]["trace_id"] == TRACE
    assert (found["input"]["key_bytes"], found["input"]["value_bytes"]) == (5, len(LOGIN))

    found = journey(env, old)
    assert (found["outcome"], found["outputs"]) == ("filtered_or_not_found", [])
    assert {each["topic"] for each in found["searched"]} == {
        env["PIPELINE_TOPICS__OUTPUT"],
        f"{env['PIPELINE_TOPICS__INPUT']}.dlq",
    }

    found = journey(env, broken)
    assert found["outcome"] == "dead_lettered"
    (letter,) = found["dead_letters"]
    assert letter["topic"] == f"{env['PIPELINE_TOPICS__INPUT']}.dlq"
    assert (letter["field"], letter["attempt"]) == ("app_version", "1")
    assert letter["group"] == env["PIPELINE_KAFKA__GROUP_ID"]
    assert letter["trace_id"] == TRACE
    assert letter["timestamp"] > found["input"]["timestamp"]

    found = journey(env, later)
    assert found["outcome"] == "waiting"
    assert found["group"]["committed"] <= later.offset


def test_the_picture_keeps_personal_data_to_itself(env: dict[str, str]) -> None:
    """The picture shows places, times and reasons; key and value only when asked for."""
    (broken,) = send(env, Event(b"carol", BROKEN))
    processed(env)

    plain = run(env, "journey", str(broken)).stdout
    assert f"● {broken}  20" in plain
    assert f"✘ {env['PIPELINE_TOPICS__INPUT']}.dlq/" in plain
    assert "field app_version" in plain
    assert f"trace {TRACE}" in plain
    assert f"key 5 B, value {len(BROKEN)} B" in plain
    assert not [secret for secret in ("carol", "newest", "91.42") if secret in plain]
    assert "\x1b" not in plain

    shown = run(env, "journey", str(broken), "--show").stdout
    assert "carol" in shown
    assert '"app_version": "newest"' in shown
    assert journey(env, broken, "--show")["dead_letters"][0]["key"] == "carol"


def test_an_event_is_found_by_key_and_time(env: dict[str, str]) -> None:
    """The first event of a key from a time on is followed, wherever it is; others are named."""
    events = [Event(b"alice", LOGIN, late=late) for late in (90, 50, 40)]
    first, second, third, _ = send(env, *events, Event(b"dave", LOGIN))
    (elsewhere,) = send(env, Event(b"a key", LOGIN), partitioner="consistent")
    home = partition_of(b"a key", 6)
    assert elsewhere.partition != home, "choose another key: both partitioners agree on this"
    processed(env)
    at = [journey(env, each)["timestamp"] for each in (first, second, third)]

    found = journey(env, "--key", "alice", "--at", at[1])
    assert (found["event"], found["other_events"]) == (str(second), [str(third)])
    assert found["outcome"] == "processed"
    found = journey(env, "--key", "alice", "--at", at[1], "--within", 5)
    assert (found["event"], found["other_events"]) == (str(second), [])
    moment = journey(env, elsewhere)["input"]["time"]
    found = journey(env, "--key", "a key", "--at", moment)
    assert (found["event"], found["outcome"]) == (str(elsewhere), "processed")

    code, line = refused(env, "--key", "nobody", "--at", at[0])
    assert code == 1
    assert "no record of this key within 60 s from 20" in line
    assert "nobody" not in line


def test_twins_and_latecomers(env: dict[str, str]) -> None:
    """Outputs of twins are candidates, and that of an event that came an hour late is found."""
    places = send(env, Event(b"alice", LOGIN), Event(b"alice", LOGIN))
    (late,) = send(env, Event(b"alice", LOGIN, late=7_200))
    (nameless,) = send(env, Event(None, LOGIN, late=100))
    processed(env)

    for place in places:
        found = journey(env, place)
        assert (found["outcome"], found["candidates"]) == ("processed", True)
        assert len(found["outputs"]) == 2
    found = journey(env, late)
    assert (found["outcome"], len(found["outputs"])) == ("processed", 1)
    found = journey(env, nameless)
    assert (found["outcome"], len(found["outputs"])) == ("processed", 1)


def test_what_does_not_exist_is_told_in_one_line(env: dict[str, str]) -> None:
    """An unknown offset, partition or topic, and a broker away, each end with line and code."""
    (place,) = send(env, Event(b"alice", LOGIN))
    topic = env["PIPELINE_TOPICS__INPUT"]

    code, line = refused(env, place._replace(offset=99))
    assert code == 1
    assert line == f"lanternpipe: {place.source}/99 does not exist: {place.source} ends before 1"
    code, line = refused(env, f"{topic}/9/0")
    assert code == 1
    assert line == f"lanternpipe: {topic}/9/0 does not exist: {topic} has the partitions 0 to 5"
    code, line = refused(env, f"{topic}.dlq/0/0")
    assert code == 2
    assert f"not in the input topic, {topic}" in line
    code, line = refused({**env, "PIPELINE_TOPICS__INPUT": "nowhere"}, "nowhere/0/0")
    assert code == 3
    assert "nowhere does not exist" in line
    with socket.create_server(("127.0.0.1", 0)) as closed:
        away = f"127.0.0.1:{closed.getsockname()[1]}"
    code, line = refused({**env, "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": away}, place)
    assert code == 6
    assert f"describing {topic}" in line


def test_offsets_of_transactions_are_no_events(env: dict[str, str]) -> None:
    """The end of a transaction and what it took back are no events; what is beside them is."""
    upstream = Producer(
        {
            "bootstrap.servers": env["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"],
            "partitioner": "murmur2_random",
            "transactional.id": env["PIPELINE_KAFKA__GROUP_ID"],
        }
    )
    topic, partition = env["PIPELINE_TOPICS__INPUT"], partition_of(b"alice", 6)
    upstream.init_transactions(SECONDS)
    for end in (upstream.commit_transaction, upstream.abort_transaction):
        upstream.begin_transaction()
        upstream.produce(topic, LOGIN, b"alice")
        upstream.flush(SECONDS)
        end(SECONDS)

    assert journey(env, f"{topic}/{partition}/0")["outcome"] == "waiting"
    for offset in (1, 2, 3):  # a marker, a record that was taken back, a marker
        code, line = refused(env, f"{topic}/{partition}/{offset}")
        assert code == 1
        assert "belongs to the end of a transaction, or to a record that was taken back" in line


def test_a_letter_outlives_its_record(env: dict[str, str]) -> None:
    """Of a record that is no longer retained the dead letter is found, or that there is none."""
    good, broken = send(env, Event(b"alice", LOGIN), Event(b"alice", BROKEN))
    processed(env)
    when = journey(env, broken)["timestamp"]
    delete(env, good._replace(offset=2))

    found = journey(env, broken)
    assert (found["outcome"], found["input"]) == ("dead_lettered", None)
    assert found["timestamp"] == when
    code, line = refused(env, good)
    assert code == 1
    assert f"{good} is no longer retained: {good.source} begins at 2" in line


def delete(env: dict[str, str], before: Place) -> None:
    """Delete the records of a partition before a place."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": env["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"]})
    (future,) = admin.delete_records([TopicPartition(*before)]).values()
    future.result(SECONDS)
