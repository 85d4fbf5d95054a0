"""Finding, fetching and configuring a real Kafka: the parts that need none."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from lanternpipe.testing import kafka_install
from lanternpipe.testing.kafka_cluster import (
    KafkaClusterError,
    NoKafkaError,
    UnsupportedError,
    kafka_cluster,
)
from lanternpipe.testing.kafka_install import (
    Docker,
    DockerEngine,
    External,
    MavenJars,
    choose_provider,
    fetch_jars,
    free_ports,
    java_version,
    properties_text,
    server_properties,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

JAVA_17 = 'openjdk version "17.0.15" 2025-04-15'
JAVA_11 = 'openjdk version "11.0.2" 2019-01-15'


def choose(
    programs: Mapping[str, str | None], environment: Mapping[str, str] | None = None
) -> External | MavenJars | Docker:
    """Choose on a machine that has these programs, each with the output of its only run."""

    def which(name: str) -> str | None:
        return name if name in programs else None

    def run(command: Sequence[str]) -> str | None:
        return programs[command[0]]

    return choose_provider(environment or {}, which, run)


def test_named_cluster_comes_first() -> None:
    """The cluster that the environment names is taken even where Java and Maven are."""
    programs = {"java": JAVA_17, "mvn": "", "docker": ""}
    chosen = choose(programs, {"KAFKA_BOOTSTRAP_SERVERS": "broker:9092"})
    assert chosen == External("broker:9092")


def test_jars_come_before_docker() -> None:
    """Java 17 with Maven is taken before a Docker engine."""
    chosen = choose({"java": JAVA_17, "mvn": "", "docker": ""})
    assert chosen == MavenJars("java", 17, "mvn")


@pytest.mark.parametrize(
    "programs",
    [
        {"java": JAVA_11, "mvn": ""},
        {"java": JAVA_17},
        {"java": None, "mvn": ""},  # the stub of macOS, which is there without a Java
        {},
    ],
    ids=["java too old", "no maven", "java does not run", "nothing"],
)
def test_docker_where_jars_cannot_be(programs: dict[str, str | None]) -> None:
    """A Docker engine is taken where Java or Maven is missing."""
    assert choose({**programs, "docker": ""}) == Docker("docker")


def test_java_home_comes_before_the_path() -> None:
    """The Java of JAVA_HOME is taken before the one on the path."""
    programs = {"/jdk/bin/java": JAVA_17, "java": JAVA_11, "mvn": ""}
    assert choose(programs, {"JAVA_HOME": "/jdk"}) == MavenJars("/jdk/bin/java", 17, "mvn")


def test_nothing_found_says_what_to_install() -> None:
    """Where there is no Kafka, one line says what was looked for and what to install."""
    with pytest.raises(NoKafkaError) as caught:
        choose({"java": JAVA_11, "docker": None})
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "KAFKA_BOOTSTRAP_SERVERS is not set",
        "java 11",
        "mvn not found",
        "docker found, but its engine does not answer",
        "install a JDK 17 or newer and Maven, or start Docker",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (JAVA_17, 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ("Picked up JAVA_TOOL_OPTIONS: -Xmx1g\n" + JAVA_11, 11),
        ("No Java runtime present", None),
    ],
)
def test_java_version(text: str, version: int | None) -> None:
    """The major version is read from every known form of ``java -version``."""
    assert java_version(text) == version


@pytest.mark.parametrize(
    ("provider", "line"),
    [
        (External("a:1,b:2"), "external Kafka at a:1,b:2 (KAFKA_BOOTSTRAP_SERVERS)"),
        (MavenJars("java", 17, "mvn"), "Apache Kafka 4.3.1 from Maven jars (java 17)"),
        (Docker("docker"), "Apache Kafka 4.3.1 from the Docker image apache/kafka:4.3.1"),
    ],
)
def test_description(provider: External | MavenJars | Docker, line: str) -> None:
    """Each provider describes itself in one line."""
    assert str(provider) == line


def test_pom_is_of_our_version_and_names_no_repository() -> None:
    """The pom fetches the version that we announce, from wherever Maven is set to fetch."""
    text = kafka_install.POM.read_text()
    tags = {element.tag.rpartition("}")[2]: element.text for element in ET.fromstring(text).iter()}
    assert tags["kafka.version"] == kafka_install.KAFKA_VERSION
    assert not {"repositories", "pluginRepositories", "url"} & tags.keys()


def fake_maven(folder: Path, script: str) -> str:
    """Make a program that does what the shell script says with the output folder ``$out``."""
    program = folder / "mvn"
    program.write_text(f'#!/bin/sh\nfor a; do out="${{a#-DoutputDirectory=}}"; done\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_jars_are_fetched_once(tmp_path: Path) -> None:
    """Of several that want the jars at once one fetches them, and all get the same folder."""
    runs = tmp_path / "runs"
    mvn = fake_maven(tmp_path, f'echo run >>{runs}; sleep 0.2; mkdir -p "$out"; touch "$out/a.jar"')
    with ThreadPoolExecutor(4) as pool:
        cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        folders = set(pool.map(lambda _: fetch_jars(mvn, cache), range(4)))
    assert folders == {tmp_path / "cache/lanternpipe/kafka-4.3.1/lib"}
    assert [file.name for file in folders.pop().iterdir()] == ["a.jar"]
    assert runs.read_text() == "run\n"


def test_failed_fetch_leaves_no_jars(tmp_path: Path) -> None:
    """When Maven fails half way, its words are told and the next call fetches anew."""
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    broken = fake_maven(tmp_path, 'mkdir -p "$out"; touch "$out/a.jar"; echo offline; exit 1')
    with pytest.raises(KafkaClusterError, match="offline"):
        fetch_jars(broken, cache)
    whole = fake_maven(tmp_path, 'mkdir -p "$out"; touch "$out/a.jar" "$out/b.jar"')
    assert len(list(fetch_jars(whole, cache).iterdir())) == 2


def read_properties(text: str) -> dict[str, str]:
    """Read as ``java.util.Properties`` does, as far as values of one physical line go."""
    found = {}
    for line in text.split("\n")[:-1]:
        key, value = re.split(r"\s*=\s*", line, maxsplit=1)
        units = re.sub(
            r"\\(?:u([0-9a-f]{4})|(.))", lambda m: chr(int(m[1], 16)) if m[1] else m[2], value
        )
        found[key] = units.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    return found


@given(st.dictionaries(st.from_regex(r"[a-z][a-z.]*", fullmatch=True), st.text()))
def test_properties_survive_the_file(properties: dict[str, str]) -> None:
    """Java reads from the file what was written, whatever the value holds."""
    assert read_properties(properties_text(properties)) == properties


def test_one_broker_replicates_to_itself() -> None:
    """A single broker asks for no more replicas than it can have."""
    settings = server_properties(1, [21001], [21002], "127.0.0.1")
    assert settings["offsets.topic.replication.factor"] == "1"
    assert settings["transaction.state.log.replication.factor"] == "1"
    assert settings["transaction.state.log.min.isr"] == "1"
    assert settings["min.insync.replicas"] == "1"


def test_three_brokers_lose_one_and_go_on() -> None:
    """Of three brokers each keeps every record, and two are enough to write."""
    settings = server_properties(2, [21001, 21002, 21003], [21004, 21005, 21006], "127.0.0.1")
    assert settings["node.id"] == "2"
    assert settings["listeners"] == "CLIENT://127.0.0.1:21002,CONTROLLER://127.0.0.1:21005"
    assert settings["controller.quorum.voters"] == (
        "1@127.0.0.1:21004,2@127.0.0.1:21005,3@127.0.0.1:21006"
    )
    assert settings["default.replication.factor"] == "3"
    assert settings["offsets.topic.replication.factor"] == "3"
    assert settings["transaction.state.log.replication.factor"] == "3"
    assert settings["transaction.state.log.min.isr"] == "2"
    assert settings["min.insync.replicas"] == "2"


def test_ports_are_not_those_of_clients() -> None:
    """Ports are distinct and below those that systems give to outgoing connections."""
    ports = free_ports(200)
    assert len(set(ports)) == 200
    assert all(20_000 <= port < 32_000 for port in ports)


def test_docker_publishes_on_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The container's ports are open to this machine alone."""
    commands: list[Sequence[str]] = []
    monkeypatch.setattr(kafka_install, "run_command", lambda command, **_: commands.append(command))
    DockerEngine("docker").open([21001, 21002])
    published = [word for word in commands[0] if word.startswith("--publish")]
    assert published == ["--publish=127.0.0.1:21001:21001", "--publish=127.0.0.1:21002:21002"]


@pytest.fixture
def external(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name a cluster in the environment: librdkafka's mock, with one broker."""
    mock = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1})
    broker = mock.list_topics(timeout=10).brokers[1]
    servers = f"{broker.host}:{broker.port}"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)
    yield servers
    mock.flush()


def test_external_cluster_is_used_but_not_touched(external: str) -> None:
    """An external cluster is handed out as it is, and its brokers are not switched."""
    with kafka_cluster() as cluster:
        assert cluster.bootstrap_servers == external
        assert cluster.brokers == (1,)
        for touch in (cluster.kill, cluster.stop, cluster.start, cluster.pause, cluster.log):
            with pytest.raises(UnsupportedError, match="external cluster"):
                touch(1)
        with pytest.raises(UnsupportedError, match="external cluster"):
            cluster.run_tool("org.apache.kafka.tools.TopicCommand")


def test_external_cluster_that_will_not_do_is_refused(external: str) -> None:
    """An external cluster is refused when it is too small or would need other settings."""
    with pytest.raises(UnsupportedError, match="has 1 of 3 brokers"), kafka_cluster(brokers=3):
        pass
    settings = {"message.max.bytes": "1000"}
    with pytest.raises(UnsupportedError, match="own settings"), kafka_cluster(properties=settings):
        pass


def test_two_brokers_are_no_cluster() -> None:
    """A number of brokers other than one or three is refused before anything starts."""
    with pytest.raises(KafkaClusterError, match="one or three"), kafka_cluster(brokers=2):
        pass
