"""The real Kafka of the other tests: it works, it can be broken, and it leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from lanternpipe.testing import kafka_cluster as module
from lanternpipe.testing.kafka_cluster import KafkaCluster, KafkaClusterError, kafka_cluster
from lanternpipe.testing.kafka_install import Docker, find_provider, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        "KAFKA_BOOTSTRAP_SERVERS" in os.environ, reason="somebody else's brokers are not killed"
    ),
]

SHUT_DOWN = "shut down completed"  # in the log of a broker that ended in order


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    """Run one broker, with a setting of its own, for the tests that leave it whole."""
    with kafka_cluster(properties={"message.max.bytes": "1000"}) as cluster:
        yield cluster


def create(cluster: KafkaCluster, topic: str, partitions: int = 1) -> None:
    """Create a topic."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    admin.create_topics([NewTopic(topic, num_partitions=partitions)])[topic].result(timeout=30)


def produce(cluster: KafkaCluster, topic: str, *values: bytes) -> None:
    """Produce the n-th value to the n-th partition, with all acknowledgements, or raise."""
    errors: list[object] = []
    producer = Producer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "topic.metadata.propagation.max.ms": 1000,  # how long to hope for an unknown topic
            "log_level": 0,
        }
    )
    for partition, value in enumerate(values):
        producer.produce(
            topic, value, partition=partition, on_delivery=lambda error, _: errors.append(error)
        )
    assert producer.flush(30) == 0
    for error in filter(None, errors):
        raise KafkaException(error)


def consume(cluster: KafkaCluster, topic: str, count: int) -> list[bytes | None]:
    """Read the first records of a topic as a new consumer group."""
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": f"readers-of-{topic}",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    values: list[bytes | None] = []
    try:
        consumer.subscribe([topic])
        deadline = time.monotonic() + 60
        while len(values) < count and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is not None and not message.error():
                values.append(message.value())
        consumer.commit(asynchronous=False)
    finally:
        consumer.close()
    return values


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Wait for a condition and say whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def listens(server: str) -> bool:
    """Say whether somebody accepts connections there."""
    host, _, port = server.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def answers(servers: str, seconds: float = 0.5) -> bool:
    """Say whether a broker answers there; where brokers are containers, listening says little."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=seconds).brokers)
    except KafkaException:
        return False


def is_gone(pid: int) -> bool:
    """Say whether no process has this id, not even as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_record_is_read_back(cluster: KafkaCluster) -> None:
    """A record that was produced is read back by a consumer group."""
    create(cluster, "read-back")
    produce(cluster, "read-back", b"hello")
    assert consume(cluster, "read-back", 1) == [b"hello"]


def test_properties_are_in_force(cluster: KafkaCluster) -> None:
    """A setting of the test's own overrides the broker's: a large record is refused."""
    create(cluster, "small")
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        produce(cluster, "small", b"x" * 2000)


def test_topics_are_not_made_by_accident(cluster: KafkaCluster) -> None:
    """Producing to a topic that nobody created fails."""
    with pytest.raises(KafkaException, match="UNKNOWN_TOPIC_OR_PART"):
        produce(cluster, "never-created", b"hello")


def test_admin_tools_run_by_class_name(cluster: KafkaCluster) -> None:
    """Kafka's own tools run by their Java class and return what they print."""
    create(cluster, "tools", partitions=2)
    produce(cluster, "tools", b"one", b"two")
    assert len(consume(cluster, "tools", 2)) == 2
    server = ("--bootstrap-server", cluster.bootstrap_servers)
    printed = cluster.run_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *(*server, "--topic", "tools", "--from-beginning", "--max-messages", "2"),
    )
    assert sorted(printed.split()) == ["one", "two"]
    group = cluster.run_tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        *(*server, "--describe", "--group", "readers-of-tools"),
    )
    rows = [line.split() for line in group.splitlines() if line.startswith("readers-of-tools")]
    # Topic, partition, position, end, lag.
    assert sorted(row[1:6] for row in rows) == [["tools", n, "1", "1", "0"] for n in ("0", "1")]


def test_failed_tool_says_why(cluster: KafkaCluster) -> None:
    """A tool that fails raises an error with its own words."""
    with pytest.raises(KafkaClusterError, match="bogus is not a recognized option"):
        cluster.run_tool("org.apache.kafka.tools.TopicCommand", "--bogus")


def test_paused_broker_is_silent_until_resumed(cluster: KafkaCluster) -> None:
    """A paused broker accepts connections but answers nobody, and goes on when resumed."""
    cluster.pause(1)
    try:
        assert listens(cluster.bootstrap_servers)
        assert not answers(cluster.bootstrap_servers)
    finally:
        cluster.resume(1)
    assert answers(cluster.bootstrap_servers, seconds=30)


def test_three_brokers_survive_the_loss_of_one() -> None:
    """Of three brokers one is killed and started again, and no record is lost."""
    # The default is 9 s without a leader.
    fast = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
    with kafka_cluster(brokers=3, properties=fast) as cluster:
        servers = cluster.bootstrap_servers
        create(cluster, "events", partitions=3)  # each broker leads one
        produce(cluster, "events", b"1 a", b"1 b", b"1 c")
        cluster.kill(2)
        assert SHUT_DOWN not in cluster.log(2).read_text()
        with pytest.raises(KafkaClusterError, match="broker 2 does not run"):
            cluster.kill(2)
        produce(cluster, "events", b"2 a", b"2 b", b"2 c")
        cluster.start(2)
        produce(cluster, "events", b"3 a", b"3 b", b"3 c")
        assert cluster.bootstrap_servers == servers
        assert answers(servers.split(",")[1], seconds=30)
        cluster.stop(1)  # in order, so that the restarted one has to carry the records
        expected = {f"{n} {partition}".encode() for n in (1, 2, 3) for partition in "abc"}
        assert set(consume(cluster, "events", 9)) == expected


def test_broker_starts_again_with_its_data(tmp_path: Path) -> None:
    """A stopped broker comes back with its records, and the caller's folder keeps only logs."""
    with kafka_cluster(directory=tmp_path) as cluster:
        create(cluster, "kept")
        produce(cluster, "kept", b"hello")
        with pytest.raises(KafkaClusterError, match="broker 1 runs already"):
            cluster.start(1)
        cluster.stop(1)
        assert not answers(cluster.bootstrap_servers)
        assert SHUT_DOWN in cluster.log(1).read_text()
        cluster.start(1)
        assert consume(cluster, "kept", 1) == [b"hello"]
        assert cluster.log(1).read_text().count("Kafka Server started") == 2
    assert (tmp_path / "broker-1" / "broker.log").exists()
    assert not (tmp_path / "broker-1" / "data").exists()


def test_error_in_the_block_shows_the_logs() -> None:
    """An error in the block carries the end of the log and leaves the log, but no data."""
    logs = []

    def fail() -> None:
        with kafka_cluster() as cluster:
            logs.append(cluster.log(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    [log], [note] = logs, caught.value.__notes__
    assert note.startswith(f"end of {log}:\n")
    assert "Kafka Server started" in note
    assert note.count("\n") == 40
    assert log.exists()
    assert not (log.parent / "data").exists()
    shutil.rmtree(log.parent.parent)


def test_broker_that_cannot_start_shows_why(tmp_path: Path) -> None:
    """A wrong setting ends the start at once, and the note names the setting."""
    with (
        pytest.raises(KafkaClusterError, match="broker 1 ended while starting") as caught,
        kafka_cluster(properties={"log.retention.ms": "soon"}, directory=tmp_path),
    ):
        pass
    assert "log.retention.ms" in caught.value.__notes__[0]


def test_nothing_is_left_after_the_block() -> None:
    """After the block no process runs, even a paused one, and the folder is gone."""
    if isinstance(find_provider(), Docker):
        pytest.skip("the brokers are containers here, without a process id")
    with kafka_cluster() as cluster:
        pid, folder = cluster.pid(1), cluster.log(1).parent.parent
        group = os.getpgid(pid)
        cluster.pause(1)
    assert is_gone(pid)
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    assert not folder.exists()


def test_nothing_is_left_when_the_test_process_is_killed(tmp_path: Path) -> None:
    """When the process that runs the block is killed, its brokers die with it."""
    script = (
        "import sys, pathlib, lanternpipe.testing.kafka_cluster as k\n"
        "with k.kafka_cluster(directory=pathlib.Path(sys.argv[1])) as cluster:\n"
        "    print(cluster.bootstrap_servers, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        server = parent.stdout.readline().strip()
        assert listens(server)
        parent.send_signal(signal.SIGKILL)
    # The orphan's own id says little: until someone reaps it, it stays as a zombie.
    assert until(lambda: not listens(server))


def test_taken_port_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """When another process has taken a port before the broker, others are tried."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        tries: list[list[int]] = []

        def ports(count: int) -> list[int]:
            tries.append(free_ports(count) if tries else [other.getsockname()[1], *free_ports(1)])
            return tries[-1]

        monkeypatch.setattr(module, "free_ports", ports)
        with kafka_cluster() as cluster:
            assert cluster.bootstrap_servers == f"127.0.0.1:{tries[1][0]}"
            create(cluster, "works")
    assert len(tries) == 2
