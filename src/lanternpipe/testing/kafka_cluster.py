"""A real Apache Kafka cluster for the length of a ``with`` block.

Nothing is left running, however the test ends (see ``guard``). Only the folder of a killed test
stays behind.
"""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from lanternpipe.testing.guard import guard
from lanternpipe.testing.kafka_install import (
    QUICK_START,
    DockerEngine,
    Engine,
    External,
    KafkaClusterError,
    NoKafkaError,
    UnsupportedError,
    describe_provider,
    engine_of,
    find_provider,
    free_ports,
    run_command,
    server_properties,
    start_script,
    with_doors,
    with_side_door,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = [
    "QUICK_START",
    "KafkaCluster",
    "KafkaClusterError",
    "NoKafkaError",
    "UnsupportedError",
    "describe_provider",
    "kafka_cluster",
]

ATTEMPTS = 3  # at ports that nobody takes before the brokers do
START_SECONDS = 120.0  # 4 s on an idle machine; one broker of three on a crowded one: 15 s
STOP_SECONDS = 30.0  # for an orderly stop on request
CLOSE_SECONDS = 1.0  # for the end: the data are thrown away, and a quorum cannot stop at once
TAIL_LINES = 40

_PORT_TAKEN = re.compile("address already in use|port is already allocated", re.IGNORECASE)


class _PortTakenError(KafkaClusterError):
    """Another process was faster to take a port."""


class _Broker:
    """One broker: its address, its log, and its process while it runs."""

    def __init__(
        self,
        number: int,
        port: int,
        engine: Engine,
        script: str,
        folder: Path,
        side_port: int | None,
        doors: Mapping[str, int],
    ) -> None:
        self.number, self.address = number, f"127.0.0.1:{port}"
        self.doors = {name: f"127.0.0.1:{door}" for name, door in doors.items()}
        self.side_door = None if side_port is None else f"127.0.0.1:{side_port}"
        self.log = folder / "broker.log"
        self._engine, self._script, self._folder = engine, script, folder
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.remove_data()  # of a killed test, in a folder that is given again

    def launch(self, process_group: int) -> None:
        if self.runs():
            raise KafkaClusterError(f"broker {self.number} runs already")
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                self._engine.broker(self.number, self._script),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=process_group,
            )

    def await_ready(self, members: Iterable[int]) -> None:
        """Wait until the broker has started and knows these members of the cluster."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with self.log.open("rb") as file:
                file.seek(self._log_start)
                log = file.read().decode(errors="replace")
            if "Kafka Server started" in log and _members(self.address).issuperset(members):
                return
            if _PORT_TAKEN.search(log):
                raise _PortTakenError(f"broker {self.number} found its port taken")
            if not self.runs():
                raise KafkaClusterError(f"broker {self.number} ended while starting")
            if time.monotonic() > deadline:
                raise KafkaClusterError(
                    f"broker {self.number} not up in {START_SECONDS:.0f} s; {self.tail()}"
                )
            time.sleep(0.02)

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None or not self.runs():
            raise KafkaClusterError(f"broker {self.number} does not run")
        return self._process

    def send(self, number: signal.Signals) -> None:
        self._engine.send(self.number, self.process(), number)

    def end(self, seconds: float) -> bool:
        """Wait for the process to end and say whether it did."""
        with suppress(subprocess.TimeoutExpired):
            if self._process:
                self._process.wait(max(0.0, seconds))
        return not self.runs()

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"end of {self.log}:", *lines[-TAIL_LINES:]])

    def remove_data(self) -> None:
        shutil.rmtree(self._folder / "data", ignore_errors=True)


class KafkaCluster:
    """A running cluster: where it listens, and the switches of its brokers."""

    def __init__(
        self,
        bootstrap_servers: str,
        brokers: Iterable[int],
        own: Sequence[_Broker] = (),
        engine: Engine | None = None,
        group: int = 0,
    ) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.brokers = tuple(brokers)
        self._own = {broker.number: broker for broker in own}
        self._engine, self._group = engine, group

    def kill(self, broker: int) -> None:
        """End a broker at once, as a crash does (SIGKILL)."""
        self._broker(broker).send(signal.SIGKILL)
        self._broker(broker).end(STOP_SECONDS)

    def stop(self, broker: int) -> None:
        """Stop a broker in order (SIGTERM), so that it hands its partitions over first."""
        self._broker(broker).send(signal.SIGTERM)
        if not self._broker(broker).end(STOP_SECONDS):
            raise KafkaClusterError(f"broker {broker} did not stop in {STOP_SECONDS:.0f} s")

    def start(self, broker: int) -> None:
        """Start a killed or stopped broker again, with its port and its data."""
        self._broker(broker).launch(self._group)
        self._broker(broker).await_ready({broker})

    def pause(self, broker: int) -> None:
        """Freeze a broker, its connections open (SIGSTOP)."""
        self._broker(broker).send(signal.SIGSTOP)

    def resume(self, broker: int) -> None:
        """Let a frozen broker go on (SIGCONT)."""
        self._broker(broker).send(signal.SIGCONT)

    def side_door(self, broker: int) -> str:
        """Return where a broker listens for a proxy, if it was told to."""
        address = self._broker(broker).side_door
        if address is None:
            raise KafkaClusterError(f"broker {broker} has no side door")
        return address

    def door(self, name: str) -> str:
        """Return where the brokers listen by this name."""
        return ",".join(broker.doors[name] for broker in self._own.values())

    def log(self, broker: int) -> Path:
        """Return the file that holds all that the broker has printed."""
        return self._broker(broker).log

    def log_tails(self) -> str:
        """Return the last lines of every broker's log, for a test report."""
        return "\n\n".join(broker.tail() for broker in self._own.values())

    def pid(self, broker: int) -> int:
        """Return the process id of the broker's Java, to measure it by."""
        if isinstance(self._engine, DockerEngine):
            raise UnsupportedError("a broker in a container has no process id here")
        return self._broker(broker).process().pid

    def run_tool(self, class_name: str, *arguments: str, timeout: float = 60.0) -> str:
        """Run an admin tool of Kafka by its Java class and return what it prints to stdout."""
        command = [*self.tool_command(class_name), *arguments]
        return run_command(command, timeout=timeout, process_group=self._group)

    def tool_command(self, class_name: str) -> list[str]:
        """Return the command that runs an admin tool of Kafka, without its arguments."""
        if self._engine is None:
            raise UnsupportedError("an external cluster comes without Kafka's own tools")
        java = [self._engine.java, *QUICK_START, "-cp", f"{self._engine.jars}/*"]
        return self._engine.tool([*java, class_name])

    def _broker(self, broker: int) -> _Broker:
        if self._engine is None:
            raise UnsupportedError("the brokers of an external cluster are not ours to touch")
        if broker not in self._own:
            raise KafkaClusterError(f"there is no broker {broker}, only {self.brokers}")
        return self._own[broker]


@contextmanager
def kafka_cluster(
    brokers: int = 1,
    *,
    properties: Mapping[str, str] | None = None,
    heap: str = "512m",
    jvm_flags: Sequence[str] | Callable[[int], Sequence[str]] = QUICK_START,
    directory: Path | None = None,
    side_doors: Sequence[int] = (),
    doors: Mapping[str, str] | None = None,
) -> Iterator[KafkaCluster]:
    """Run a cluster of one or three nodes, each both broker and controller.

    An error that leaves the block gets the ends of the logs as a note, and the logs are kept.

    Args:
        brokers: One or three.
        properties: Broker settings on top of ours, as in ``server.properties``.
        heap: The largest heap of each broker.
        jvm_flags: More flags of the brokers' JVMs. ``QUICK_START`` holds the compiler back, which
            nearly halves the CPU time of a start. A benchmark gives ``()``. A function gives
            each broker its own, by its number, such as the port of an agent; it is asked again
            where a port was taken.
        directory: Where data and logs go; the logs stay there. By default a temporary folder.
        side_doors: A port for each broker, or none. Clients that come by a broker's side door
            are told that it listens there, so that a proxy at that port has all they say.
        doors: The security protocols of further listeners, by their names. What they need besides
            is said by ``properties``, as ``listener.name.<name>.…``.
    """
    if brokers not in {1, 3}:
        raise KafkaClusterError(f"a cluster has one or three brokers, not {brokers}")
    provider = find_provider()
    if isinstance(provider, External):
        if side_doors or doors:
            raise UnsupportedError("an external cluster has no other doors than its own")
        yield _external(provider.bootstrap_servers, brokers, properties)
        return
    engine = engine_of(provider)
    root = directory or Path(tempfile.mkdtemp(prefix="lanternpipe-kafka-"))

    def flags(number: int) -> Sequence[str]:
        return (f"-Xmx{heap}", *(jvm_flags(number) if callable(jvm_flags) else jvm_flags))

    with ExitStack() as stack:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                started = _started(
                    engine, brokers, properties or {}, flags, root, side_doors, doors or {}
                )
                cluster = stack.enter_context(started)
                break
            except _PortTakenError:
                if attempt == ATTEMPTS:
                    raise
        yield cluster
    if directory is None:  # an error does not come this far, which keeps the logs
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _started(
    engine: Engine,
    count: int,
    properties: Mapping[str, str],
    flags: Callable[[int], Sequence[str]],
    root: Path,
    side_doors: Sequence[int],
    doors: Mapping[str, str],
) -> Iterator[KafkaCluster]:
    ports = iter(free_ports((2 + len(doors)) * count + len(side_doors)))
    clients, controllers = [*islice(ports, count)], [*islice(ports, count)]
    sides, others = [*islice(ports, len(side_doors))], [*ports]
    cluster_id = "L" + secrets.token_urlsafe(16)[1:]  # a leading dash would read as an option
    brokers = []
    for number, port in enumerate(clients, start=1):
        settings = server_properties(number, clients, controllers, engine.bind)
        side = sides[number - 1] if sides else None
        if side is not None:
            settings = with_side_door(settings, side, side_doors[number - 1], engine.bind)
        own = others[(number - 1) * len(doors) : number * len(doors)]
        settings = with_doors(settings, doors, own, engine.bind)
        script = start_script(engine, cluster_id, {**settings, **properties}, flags(number))
        folder, named = root / f"broker-{number}", dict(zip(doors, own, strict=True))
        brokers.append(_Broker(number, port, engine, script, folder, side, named))
    numbers = [broker.number for broker in brokers]
    with ExitStack() as stack:
        stack.callback(_discard, brokers)
        group = stack.enter_context(guard(engine.clean_up(numbers)))
        stack.callback(_end, brokers)
        servers = ",".join(broker.address for broker in brokers)
        cluster = KafkaCluster(servers, numbers, brokers, engine, group)
        try:
            _open(engine, [*clients, *sides, *others])
            for broker in brokers:
                broker.launch(group)
            for broker in brokers:
                broker.await_ready(numbers)
            yield cluster
        except BaseException as error:
            error.add_note(cluster.log_tails())  # before the end adds lines of its own
            raise


def _open(engine: Engine, ports: Sequence[int]) -> None:
    try:
        engine.open(ports)
    except KafkaClusterError as error:
        if _PORT_TAKEN.search(str(error)):
            raise _PortTakenError(str(error)) from error
        raise


def _end(brokers: Sequence[_Broker]) -> None:
    """Let the brokers stop in order for a short while; the guard kills what is left."""
    for broker in brokers:
        with suppress(KafkaClusterError):  # a broker that does not run
            broker.send(signal.SIGCONT)  # a paused one would not hear of its end
            broker.send(signal.SIGTERM)
    deadline = time.monotonic() + CLOSE_SECONDS
    for broker in brokers:
        broker.end(deadline - time.monotonic())


def _discard(brokers: Sequence[_Broker]) -> None:
    for broker in brokers:
        broker.end(CLOSE_SECONDS)  # killed by now: no zombie stays
        broker.remove_data()


def _external(servers: str, brokers: int, properties: Mapping[str, str] | None) -> KafkaCluster:
    """Take somebody else's cluster, if it will do."""
    if properties:
        raise UnsupportedError(f"an external cluster has its own settings, not {dict(properties)}")
    deadline = time.monotonic() + START_SECONDS
    while not (members := _members(servers)):
        if time.monotonic() > deadline:
            raise KafkaClusterError(f"nothing answers at {servers} (KAFKA_BOOTSTRAP_SERVERS)")
    if len(members) < brokers:
        raise UnsupportedError(f"the external cluster has {len(members)} of {brokers} brokers")
    return KafkaCluster(servers, sorted(members))


def _members(servers: str) -> set[int]:
    """Ask for the cluster's members; none where nobody answers."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    try:
        return set(admin.list_topics(timeout=2.0).brokers)
    except KafkaException:
        return set()
