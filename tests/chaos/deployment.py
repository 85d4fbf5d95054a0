"""A pipeline under test: its topics and its group on a broker, and its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, IsolationLevel, KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import OffsetSpec

from lanternpipe.kafka.admin import open_admin
from lanternpipe.kafka.config import Config
from lanternpipe.kafka.errors import mapped
from lanternpipe.kafka.topics import topic_config
from lanternpipe.records import TopicPartition
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.chaos.waiting import until

ASK_SECONDS = 5.0


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
        self.at_close: list[Callable[[], None]] = []
        config: Config = {"bootstrap.servers": servers, "reconnect.backoff.max.ms": 200}
        self.admin = open_admin(config, log=silent)
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
        for close in self.at_close:
            close()

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

    @property
    def exactly_once(self) -> bool:
        """Whether this is what its processes deliver."""
        return self._settings.get("DELIVERY", "exactly-once") == "exactly-once"

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of a process, with further settings of its own."""
        kept = {name: value for name, value in os.environ.items() if name[:9] != "PIPELINE_"}
        given = {**self._settings, **settings}
        return {**kept, **{f"PIPELINE_{name}": value for name, value in given.items()}}

    def run(self, *arguments: str, **settings: str) -> str:
        """Run a command of the program to its end and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "lanternpipe", *arguments],
            env=self.environment(**settings),
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

    def ends(
        self, topic: str, isolation: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> dict[int, int]:
        """Return where the partitions of a topic end, by default for a read_committed reader."""
        asked = {
            ClientPartition(topic, at.partition): OffsetSpec.latest() for at in self.partitions
        }
        with mapped(f"reading the ends of {topic}"):
            answers = self.admin.list_offsets(
                asked, isolation_level=isolation, request_timeout=ASK_SECONDS
            )
            return {at.partition: answer.result().offset for at, answer in answers.items()}

    def drained(self) -> bool:
        """Say whether the group has committed all there is."""
        return self.committed() == {
            TopicPartition(self.input, at): end for at, end in self.ends(self.input).items()
        }

    def settled(self) -> bool:
        """Say whether no transaction is open on the results: it hides what lies behind it."""
        return all(
            self.ends(topic) == self.ends(topic, IsolationLevel.READ_UNCOMMITTED)
            for topic in (self.output, self.dead_letters)
        )
