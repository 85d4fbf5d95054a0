"""A pipeline under test: its topics and its group on a broker, and its processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from lanternpipe.kafka.admin import LogEnds, open_admin
from lanternpipe.kafka.config import Config
from lanternpipe.kafka.errors import mapped
from lanternpipe.kafka.topics import topic_config
from lanternpipe.records import TopicPartition
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.chaos.waiting import until

START_SECONDS = 60.0  # until a process has partitions: 1 to 8 seen
ASK_SECONDS = 5.0
EXIT_SECONDS = 30.0  # three times the grace period of a clean stop


def silent(level: str, event: str, **fields: Any) -> None:
    """Log nothing: what the test's own clients say is of no interest."""


class Deployment:
    """What all processes of one group share. No process outlives its ``with`` block.

    Args:
        servers: The brokers' addresses.
        name: Of the group, and the beginning of its topics' names.
        folder: Where the processes' logs go.
        partitions: Of every topic.
        settings: Settings of all processes, without ``PIPELINE_``.
        process_group: Whose processes die with the broker's, however the test ends.
    """

    def __init__(
        self,
        servers: str,
        name: str,
        folder: Path,
        *,
        partitions: int = 6,
        settings: Mapping[str, str] | None = None,
        process_group: int = 0,
    ) -> None:
        self.servers, self.group, self.folder = servers, name, folder
        self.process_group = process_group
        self.input, self.output = f"{name}-in", f"{name}-out"
        self.dead_letters = f"{self.input}.dlq"
        self.partitions = [TopicPartition(self.input, at) for at in range(partitions)]
        self._settings = {
            "KAFKA__BOOTSTRAP_SERVERS": servers,
            "KAFKA__GROUP_ID": name,
            "TOPICS__INPUT": self.input,
            "TOPICS__OUTPUT": self.output,
            "TOPICS__PARTITIONS": f"{partitions}",
            "INSTANCE": "",
            "LOG__FORMAT": "json",
            **(settings or {}),
        }
        self.processors: list[Processor] = []
        config: Config = {"bootstrap.servers": servers, "reconnect.backoff.max.ms": 200}
        self.admin = open_admin(config, log=silent)
        self._ends = LogEnds(config, log=silent)
        # Never joins. An admin client would crash while the coordinator moves (librdkafka#5040).
        reading = {"group.id": name, "isolation.level": "read_uncommitted", "log_level": 0}
        self._reader = Consumer({**config, **reading})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes at once."""
        for each in self.processors:
            each.kill()

    @classmethod
    def on(
        cls,
        cluster: KafkaCluster,
        name: str,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        partitions: int = 6,
    ) -> Deployment:
        """Deploy on a running cluster: the topics exist when this returns."""
        deployment = cls(
            cluster.bootstrap_servers,
            name,
            folder,
            partitions=partitions,
            settings=settings,
            process_group=cluster._group,
        )
        deployment.run("topics", "apply")
        # The answer to `topics apply` comes before every request can find the topic.
        until(lambda: bool(topic_config(deployment.admin, deployment.dead_letters)), 30, "topics")
        return deployment

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of a process, with further settings of its own."""
        kept = {name: value for name, value in os.environ.items() if name[:9] != "PIPELINE_"}
        given = {**self._settings, **settings}
        return {**kept, **{f"PIPELINE_{name}": value for name, value in given.items()}}

    def run(self, *arguments: str) -> str:
        """Run a command of the program to its end and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "lanternpipe", *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def committed(self) -> dict[TopicPartition, int]:
        """Return how far the group has committed; 0 where it has not."""
        asked = [ClientPartition(*at) for at in self.partitions]
        with mapped("reading committed offsets"):
            answers = self._reader.committed(asked, timeout=ASK_SECONDS)
            for answer in answers:
                if answer.error is not None:
                    raise KafkaException(answer.error)
        return {TopicPartition(each.topic, each.partition): max(0, each.offset) for each in answers}

    def ends(self) -> dict[TopicPartition, int]:
        """Return where the partitions of the input end for a read_committed reader."""
        return self._ends.last_stable(self.partitions)

    def drained(self) -> bool:
        """Say whether the group has committed all there is."""
        return self.committed() == self.ends()


class Processor:
    """One `lanternpipe process`, which can be started again and again; its log goes on.

    Args:
        deployment: What it belongs to.
        name: Of the log file.
        settings: Settings of its own, without ``PIPELINE_``.
    """

    def __init__(self, deployment: Deployment, name: str, **settings: str) -> None:
        self.name, self.log = name, deployment.folder / f"{name}.log"
        self._deployment, self._settings = deployment, settings
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        deployment.processors.append(self)

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the process; nothing is waited for."""
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lanternpipe", "process"],
                env=self._deployment.environment(**self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self._deployment.process_group,
            )
        return self

    def replacement(self) -> Processor | None:
        """Return another process of the same instance; None for a process without."""
        if not self._settings.get("INSTANCE"):
            return None
        return Processor(self._deployment, f"{self.name}-new", **self._settings)

    def start_and_join(self) -> Self:
        """Start the process and wait until it has partitions."""
        self.start()
        self.until(lambda: bool(self.partitions()), START_SECONDS, "partitions")
        return self

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the process at once, if it runs, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wait(self, seconds: float = EXIT_SECONDS) -> int:
        """Wait for the process to end by itself; return its exit code."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended in {seconds:.0f} s") from None

    def stop(self, seconds: float = EXIT_SECONDS) -> int:
        """Ask the process to end (SIGTERM), wait for that, and return its exit code."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def until(self, condition: Any, seconds: float, what: str) -> float:
        """Wait for a condition for as long as the process runs."""

        def holds() -> bool:
            if condition():
                return True
            assert self.running, f"{self.name} has ended; {what} cannot come\n{self.tail()}"
            return False

        try:
            return until(holds, seconds, f"{self.name}: {what}")
        except AssertionError as error:
            error.add_note(self.tail())
            raise

    def text(self) -> str:
        """Return what the process has printed since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self) -> str:
        """Return the last lines of the log."""
        return "\n".join([f"end of {self.log}:", *self.text().splitlines()[-20:]])

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the log lines of these events since the last start."""
        return [line for line in self._lines() if line["event"] in names]

    def partitions(self) -> set[TopicPartition]:
        """Return what the process has been given and not had taken away, as it says itself."""
        held: set[str] = set()
        for line in self.events("partitions_assigned", "partitions_revoked", "partitions_lost"):
            if line["event"] == "partitions_assigned":
                held.update(line["partitions"])
            else:
                held.difference_update(line["partitions"])
        places = (place.rsplit("/", 1) for place in held)
        return {TopicPartition(topic, int(number)) for topic, number in places}

    def _lines(self) -> Iterator[dict[str, Any]]:
        for line in self.text().splitlines():
            if line.startswith("{") and line.endswith("}"):  # the rest: errors, a torn last line
                yield json.loads(line)
