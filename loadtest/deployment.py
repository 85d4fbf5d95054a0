"""What is put under load: topics of its own, and real processes of the pipeline."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from lanternpipe.demo.stage import Stage, embedded, on_broker
from lanternpipe.pipeline import Pipeline
from lanternpipe.settings import KafkaSettings, Settings
from lanternpipe.testing.guard import guard
from lanternpipe.testing.kafka_cluster import (
    NoKafkaError,
    UnsupportedError,
    describe_provider,
    kafka_cluster,
)

ROOT = Path(__file__).parents[1]
STOP_SECONDS = 20.0
KAFKA = "PIPELINE_KAFKA__"
SERVERS = f"{KAFKA}BOOTSTRAP_SERVERS"
PRODUCER_RATE = 20  # events per second of the sample producer, which runs beside the load


class Broker(NamedTuple):
    """Where a run plays.

    Attributes:
        stage: Settings and topics.
        words: For people.
        pid: Of a broker that is ours; None for others, whose CPU is not measured.
        is_embedded: Whether it is one in memory: a double, which is not to be measured by.
    """

    stage: Stage
    words: str
    pid: int | None
    is_embedded: bool = False


@contextmanager
def open_broker(settings: Settings, pipeline: Pipeline[Any, Any]) -> Iterator[Broker]:
    """Find a broker for the block: the one that is set, else a real one of ours, else memory."""
    name = f"load-{uuid.uuid4().hex[:6]}"

    def stage_on(servers: str) -> Any:
        return on_broker(
            settings,
            pipeline,
            broker=servers,
            name=name,
            log=lambda *_, **__: None,
            stopping=lambda: False,
        )

    with ExitStack() as stack:
        if SERVERS in os.environ:
            servers = settings.kafka.bootstrap_servers
            mode = settings.kafka.security.mode
            yield Broker(stack.enter_context(stage_on(servers)), f"{servers} ({mode})", None)
            return
        try:
            cluster = stack.enter_context(kafka_cluster(1, heap="1g", jvm_flags=()))
        except NoKafkaError:
            stage = stack.enter_context(embedded(settings, pipeline, log=lambda *_, **__: None))
            yield Broker(stage, "a broker in memory (no Java, no Docker)", None, is_embedded=True)
            return
        pid = None
        with suppress(UnsupportedError):
            pid = cluster.pid(1)
        servers = cluster.bootstrap_servers
        words = describe_provider()
        yield Broker(stack.enter_context(stage_on(servers)), words, pid)


def as_variables(kafka: KafkaSettings) -> dict[str, str]:
    """Return what clients of a broker in memory need, as variables."""
    extra = {"CONSUMER_EXTRA": kafka.consumer_extra, "PRODUCER_EXTRA": kafka.producer_extra}
    return {
        f"{KAFKA}GROUP_PROTOCOL": kafka.group_protocol,
        f"{KAFKA}COMPRESSION": kafka.compression,
        **{
            f"{KAFKA}{part}__{name.replace('.', '_').upper()}": value
            for part, settings in extra.items()
            for name, value in settings.items()
        },
    }


def environment_of(broker: Broker) -> dict[str, str]:
    """Return the environment of all processes of a run: what is set, but for where it plays."""
    stage, kept = broker.stage, dict(os.environ)
    if broker.is_embedded:
        kept = {name: value for name, value in kept.items() if not name.startswith(KAFKA)}
        kept |= as_variables(stage.settings.kafka)
    paths = [str(ROOT / "src"), str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return {
        **kept,
        SERVERS: stage.settings.kafka.bootstrap_servers,
        f"{KAFKA}GROUP_ID": stage.settings.kafka.group_id,
        "PIPELINE_TOPICS__INPUT": stage.names.input,
        "PIPELINE_TOPICS__OUTPUT": stage.names.output,
        "PIPELINE_DEADLETTER__TOPIC": stage.names.dead_letters,
        "PIPELINE_INSTANCE": "",
        "PIPELINE_START": "earliest",
        "PIPELINE_HTTP__PORT": "0",
        "PYTHONPATH": os.pathsep.join(paths),
    }


class Process:
    """One process that can be started again; its output is kept.

    Args:
        name: For people, and of the log file.
        arguments: What Python runs.
        environment: All of it.
        folder: Where the log goes.
        group: Process group, so that nothing outlives the run.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        folder: Path,
        group: int,
    ) -> None:
        self.name, self.log = name, folder / f"{name.replace(' ', '-')}.log"
        self._arguments, self._environment, self._group = arguments, environment, group
        self._process: subprocess.Popen[bytes] | None = None
        self._is_wanted = False
        self.hung_or_failed = False
        self.log.unlink(missing_ok=True)

    @property
    def pid(self) -> int | None:
        """Its process id; None while it is down."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process else None

    @property
    def has_died(self) -> bool:
        """Whether it has ended and nobody has asked it to."""
        return self._is_wanted and self.pid is None

    def start(self) -> None:
        """Start it, if it is down."""
        self._is_wanted = True
        if self.pid is None:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, *self._arguments],
                    cwd=ROOT,
                    env=dict(self._environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    process_group=self._group,
                )

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._is_wanted = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        if self._process is None or not self._is_wanted:
            return
        self._is_wanted = False
        self._process.terminate()
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            code = None
        self.hung_or_failed |= code != 0

    def wait(self, seconds: float) -> int | None:
        """Return its exit code; None if it still runs after so many seconds."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def tail(self) -> str:
        """Return the end of what it has printed."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-20:])


class Deployment:
    """The processes of a run.

    Args:
        broker: Where it plays.
        processors: How many.
        folder: Where logs go.
        group: Process group of all.
    """

    def __init__(self, broker: Broker, processors: int, folder: Path, group: int) -> None:
        self._environment = environment_of(broker)
        self._folder, self._group = folder, group
        in_memory = broker.is_embedded
        module = ["loadtest.in_memory"] if in_memory else ["lanternpipe", "process"]
        self.processors = [
            self.process(f"processor {number + 1}", ["-m", *module]) for number in range(processors)
        ]
        # The samples' own producer beside the load; it, too, asks what no broker in memory answers.
        produce = ["produce", "--rate", str(PRODUCER_RATE), "--poison", "0"]
        self._others = (
            [] if in_memory else [self.process("producer", ["-m", "lanternpipe", *produce])]
        )

    @property
    def all(self) -> list[Process]:
        """All that is not Locust's."""
        return [*self.processors, *self._others]

    def process(self, name: str, arguments: list[str]) -> Process:
        """Return another process, which is not yet started."""
        return Process(name, arguments, self._environment, self._folder, self._group)

    def start(self) -> None:
        """Start all."""
        for process in self.all:
            process.start()

    def fault(self, what: str) -> str:
        """Do something to processors; return what was done, for people."""
        match what:
            case "kill":
                self.processors[-1].kill()
                return f"{self.processors[-1].name} killed"
            case "stop":
                for process in self.processors:
                    process.stop()
                return "processors stopped"
            case _:
                for process in self.processors:
                    process.start()
                return "processors started"

    def ended(self) -> Process | None:
        """Return a process that has ended by itself, if any has."""
        return next((process for process in self.all if process.has_died), None)

    @property
    def unwilling(self) -> list[str]:
        """Names of those that did not end, or not well, when they were asked to."""
        return [process.name for process in self.all if process.hung_or_failed]

    def close(self) -> None:
        """Stop all."""
        for process in reversed(self.all):
            process.stop()


@contextmanager
def deployed(broker: Broker, processors: int, folder: Path) -> Iterator[Deployment]:
    """Run the pipeline within the block."""
    with guard() as group:
        deployment = Deployment(broker, processors, folder, group)
        try:
            yield deployment
        finally:
            deployment.close()
