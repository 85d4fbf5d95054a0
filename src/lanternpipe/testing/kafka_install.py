"""Where a real Kafka broker comes from, how it is configured, and how its classes are run.

In this order: the cluster that ``KAFKA_BOOTSTRAP_SERVERS`` names; ``java`` and ``mvn``, which
fetch the jars named in ``pom.xml``; a Docker engine, which runs the ``apache/kafka`` image.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable

KAFKA_VERSION = "4.3.1"  # the same as in pom.xml; a unit test holds them together
DOCKER_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
MINIMUM_JAVA = 17
POM = Path(__file__).with_name("pom.xml")
QUICK_START = ("-XX:TieredStopAtLevel=1",)  # JVM flags: sooner up, slower in the long run
FETCH_SECONDS = 900  # 80 MB through Maven on a slow line, or the image

Which = Callable[[str], str | None]
Run = Callable[[Sequence[str]], str | None]


class KafkaClusterError(Exception):
    """A real Kafka cluster for tests could not be had or did not do what it was told."""


class NoKafkaError(KafkaClusterError):
    """This machine has nothing that a real Kafka broker could be started from."""


class UnsupportedError(KafkaClusterError):
    """The cluster at hand cannot do this: a test may skip on it."""


@dataclass(frozen=True)
class External:
    """A cluster that somebody else runs."""

    bootstrap_servers: str

    def __str__(self) -> str:
        return f"external Kafka at {self.bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS)"


@dataclass(frozen=True)
class MavenJars:
    """Java on this machine, and Maven to fetch the jars."""

    java: str
    java_version: int
    mvn: str

    def __str__(self) -> str:
        return f"Apache Kafka {KAFKA_VERSION} from Maven jars (java {self.java_version})"


@dataclass(frozen=True)
class Docker:
    """A Docker engine that answers."""

    docker: str

    def __str__(self) -> str:
        return f"Apache Kafka {KAFKA_VERSION} from the Docker image {DOCKER_IMAGE}"


Provider = External | MavenJars | Docker


def choose_provider(environment: Mapping[str, str], which: Which, run: Run) -> Provider:
    """Choose where Kafka comes from; ``run`` gives a command's output, or None where it fails."""
    if servers := environment.get("KAFKA_BOOTSTRAP_SERVERS", "").strip():
        return External(servers)
    home = environment.get("JAVA_HOME")
    java = (which(str(Path(home, "bin", "java"))) if home else None) or which("java")
    version = java_version(run((java, "-version")) or "") if java else None
    mvn = which("mvn")
    if java and mvn and version and version >= MINIMUM_JAVA:
        return MavenJars(java, version, mvn)
    docker = which("docker")
    if docker and run((docker, "info")) is not None:
        return Docker(docker)
    raise NoKafkaError(
        f"no Kafka for the tests: KAFKA_BOOTSTRAP_SERVERS is not set, "
        f"java {version or 'not found'}, mvn {'found' if mvn else 'not found'}, "
        f"docker {'found, but its engine does not answer' if docker else 'not found'}; "
        f"install a JDK {MINIMUM_JAVA} or newer and Maven, or start Docker"
    )


def java_version(text: str) -> int | None:
    """Read the major version from what ``java -version`` prints ("1.8.0" is 8)."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else None


def find_provider() -> Provider:
    """Choose from what this machine has now."""
    return choose_provider(os.environ, shutil.which, _output)


def describe_provider() -> str:
    """Say in one line which Kafka the tests will use, or raise ``NoKafkaError``."""
    return str(find_provider())


def _output(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  # our own commands
            command, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # `java -version` prints to stderr.
    return done.stdout + done.stderr if done.returncode == 0 else None


def fetch_jars(
    mvn: str,
    environment: Mapping[str, str],
    pom: Path = POM,
    name: str = f"kafka-{KAFKA_VERSION}",
) -> Path:
    """Return the folder of Kafka's jars; the first call on a machine fetches them.

    Args:
        mvn: Maven.
        environment: Says where the cache is.
        pom: Names the jars.
        name: Of the folder in the cache.
    """
    cache = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache, "lanternpipe", name)
    jars = folder / "lib"
    if jars.is_dir():
        return jars
    folder.mkdir(parents=True, exist_ok=True)
    # The lock spares parallel test workers a second download, the rename a half-filled folder.
    with (folder / "lock").open("w") as lock, tempfile.TemporaryDirectory(dir=folder) as partial:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.is_dir():
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={partial}/lib"]
            run_command([mvn, "-q", "-B", "-f", str(pom), *goal], timeout=FETCH_SECONDS)
            Path(partial, "lib").rename(jars)
    return jars


def run_command(command: Sequence[str], *, timeout: float, process_group: int | None = None) -> str:
    """Run a command to its end and return its stdout; a failure carries its last words."""
    try:
        done = subprocess.run(  # noqa: S603  # our own commands
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            process_group=process_group,
        )
    except subprocess.TimeoutExpired as error:
        raise KafkaClusterError(f"no end after {timeout:.0f} s: {' '.join(command)}") from error
    if done.returncode != 0:
        words = (done.stdout + done.stderr)[-2000:].strip()
        raise KafkaClusterError(f"exit code {done.returncode}: {' '.join(command)}\n{words}")
    return done.stdout


class LocalEngine:
    """Runs Kafka's classes as processes of this machine."""

    bind = "127.0.0.1"  # where a broker listens

    def __init__(self, java: str, jars: Path) -> None:
        self.java, self.jars = java, str(jars)

    def open(self, _ports: Sequence[int]) -> None:
        """Make ready what the brokers need to listen at these ports."""

    def broker(self, _number: int, script: str) -> list[str]:
        """Return the command that lives as long as the broker that the shell script becomes."""
        return ["/bin/sh", "-c", script]

    def tool(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs another one where the brokers run."""
        return list(command)

    def send(self, _number: int, process: subprocess.Popen[bytes], signal_: signal.Signals) -> None:
        """Send a broker a signal."""
        process.send_signal(signal_)

    def clean_up(self, _brokers: Iterable[int]) -> list[str]:
        """Return the command that ends what killing our own processes does not."""
        return []


class DockerEngine:
    """Runs Kafka's classes in containers that share one network and one volume.

    Both belong to a container that does nothing else, so that 127.0.0.1 is the same for all, and a
    broker can die and come back with its port and its data.
    """

    bind = "0.0.0.0"  # noqa: S104  # in the container; published on 127.0.0.1 only
    java, jars = "java", "/opt/kafka/libs"  # in the image

    def __init__(self, docker: str) -> None:
        self._docker = docker
        self._name = f"lanternpipe-{uuid.uuid4().hex[:12]}"

    def open(self, ports: Sequence[int]) -> None:
        """Start the container that does nothing; the first time on a machine pulls the image."""
        publish = [f"--publish=127.0.0.1:{port}:{port}" for port in ports]
        options = ["--detach", f"--name={self._name}", "--volume=/data", *publish]
        idle = ["--entrypoint=", DOCKER_IMAGE, "tail", "-f", "/dev/null"]
        run_command([self._docker, "run", *options, *idle], timeout=FETCH_SECONDS)

    def broker(self, number: int, script: str) -> list[str]:
        """Return the command that lives as long as the broker that the shell script becomes."""
        shared = [f"--network=container:{self._name}", f"--volumes-from={self._name}"]
        own = [f"--name={self._name}-{number}", f"--workdir=/data/{number}", "--user=0"]
        what = ["--entrypoint=", DOCKER_IMAGE, "/bin/sh", "-c", script]
        return [self._docker, "run", "--rm", *shared, *own, *what]

    def tool(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs another one where the brokers run."""
        return [self._docker, "exec", self._name, *command]

    def send(self, number: int, _process: subprocess.Popen[bytes], signal_: signal.Signals) -> None:
        """Send a broker a signal; the process is only the client that waits for its container."""
        kill = [self._docker, "kill", f"--signal={signal_.name}", f"{self._name}-{number}"]
        run_command(kill, timeout=60)

    def clean_up(self, brokers: Iterable[int]) -> list[str]:
        """Return the command that ends what killing our own processes does not."""
        names = [f"{self._name}-{number}" for number in brokers]
        return [self._docker, "rm", "--force", "--volumes", *names, self._name]


Engine = LocalEngine | DockerEngine


def engine_of(provider: MavenJars | Docker) -> Engine:
    """Return the engine that a provider stands for; the first time, this fetches the jars."""
    if isinstance(provider, Docker):
        return DockerEngine(provider.docker)
    return LocalEngine(provider.java, fetch_jars(provider.mvn, os.environ))


def free_ports(count: int) -> list[int]:
    """Find free ports below the range from which systems serve outgoing connections.

    From inside that range a client that knocks at a dead broker's port can be given that very port
    for its own end: it is then connected to itself, and the broker cannot come back.
    """
    ports: list[int] = []
    for port in random.sample(range(20_000, 32_000), 1_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise KafkaClusterError(f"no {count} free ports between 20000 and 32000")


def server_properties(
    number: int, clients: Sequence[int], controllers: Sequence[int], bind: str
) -> dict[str, str]:
    """Return the settings of one node, given the ports of all."""
    voters = (f"{node}@127.0.0.1:{port}" for node, port in enumerate(controllers, start=1))
    client, controller = clients[number - 1], controllers[number - 1]
    replicas = str(min(3, len(clients)))
    in_sync = str(min(2, len(clients)))
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": ",".join(voters),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CLIENT://{bind}:{client},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{client}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "log.dirs": "data",
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "5",  # 50 by default: seconds to create on a small machine
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "5",  # as above
        "group.initial.rebalance.delay.ms": "0",
        "log.cleaner.dedupe.buffer.size": "4000000",  # 128 MB by default, all of it resident
    }


def with_side_door(
    properties: Mapping[str, str], port: int, advertised: int, bind: str
) -> dict[str, str]:
    """Add a listener that sends its clients to another port, where a proxy may stand.

    Args:
        properties: Settings of a node.
        port: Where it listens.
        advertised: Where its clients are told that it does.
        bind: The address to listen at.
    """
    more = {
        "listeners": f"SIDE://{bind}:{port}",
        "advertised.listeners": f"SIDE://127.0.0.1:{advertised}",
        "listener.security.protocol.map": "SIDE:PLAINTEXT",
    }
    return {**properties, **{name: f"{properties[name]},{more[name]}" for name in more}}


def with_doors(
    properties: Mapping[str, str], doors: Mapping[str, str], ports: Sequence[int], bind: str
) -> dict[str, str]:
    """Add further listeners for clients.

    Args:
        properties: Settings of a node.
        doors: The security protocol of each, by its name.
        ports: Where they listen.
        bind: The address to listen at.
    """
    found = dict(properties)
    for (name, protocol), port in zip(doors.items(), ports, strict=True):
        found["listeners"] += f",{name}://{bind}:{port}"
        found["advertised.listeners"] += f",{name}://127.0.0.1:{port}"
        found["listener.security.protocol.map"] += f",{name}:{protocol}"
    return found


def properties_text(properties: Mapping[str, str]) -> str:
    """Write a Java properties file, which is Latin-1 and takes the rest as UTF-16 escapes."""
    return "".join(f"{key}={_escaped(value)}\n" for key, value in properties.items())


def _escaped(value: str) -> str:
    units = value.encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2]) for i in range(0, len(units), 2))
    # A blank is a code as well, since Java drops leading ones.
    return "".join(chr(c) if 33 <= c < 127 and c != 92 else f"\\u{c:04x}" for c in codes)


def start_script(
    engine: Engine, cluster_id: str, properties: Mapping[str, str], flags: Sequence[str]
) -> str:
    """Return the shell script that becomes a broker, formatting its data folder once."""
    run = [engine.java, "-cp", f"{engine.jars}/*"]
    file = "server.properties"
    format_ = [
        *run,
        *QUICK_START,
        "kafka.tools.StorageTool",
        "format",
        "-t",
        cluster_id,
        "-c",
        file,
    ]
    # Without a configuration file Log4j prints to stdout, but errors only.
    broker = [*run, *flags, "-Dorg.apache.logging.log4j.level=INFO", "kafka.Kafka", file]
    return (
        f"printf %s {shlex.quote(properties_text(properties))} >{file}\n"
        f"[ -e data/meta.properties ] || {shlex.join(format_)} || exit 1\n"
        f"exec {shlex.join(broker)}\n"
    )
