"""Topics as code: what should exist, what does, and how to get from one to the other."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from lanternpipe.errors import FatalFailure, RefusedFailure, RetriableFailure, TopicError
from lanternpipe.kafka.admin import REQUEST_SECONDS, answer, describe_partitions
from lanternpipe.kafka.errors import mapped

UNLIMITED = "-1"
KNOWN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class DeclaredTopic:
    """A topic as it should be.

    Attributes:
        name: Its name.
        partitions: How many it should have.
        replication_factor: Replicas, or None for the broker's default.
        config: Topic settings by their Kafka names.
    """

    name: str
    partitions: int
    replication_factor: int | None = None
    config: dict[str, str] = field(default_factory=dict)


class Difference(NamedTuple):
    """One way in which the broker differs from the declaration.

    Attributes:
        topic: Of which topic.
        what: ``missing``, ``partitions``, ``replicas``, or the name of a topic setting.
        declared: What it should be.
        actual: What it is.
    """

    topic: str
    what: str
    declared: str
    actual: str

    def __str__(self) -> str:
        if self.what == "missing":
            return f"{self.topic}: does not exist (declared: {self.declared} partitions)"
        return f"{self.topic}: {self.what} is {self.actual}, declared {self.declared}"


def differences(admin: AdminClient, declared: Iterable[DeclaredTopic]) -> list[Difference]:
    """Compare the topics on the broker with their declaration.

    Raises:
        KafkaFailure: The broker did not answer.
    """
    found: list[Difference] = []
    for topic in declared:
        count = len(describe_partitions(admin, topic.name))
        if not count:
            found.append(Difference(topic.name, "missing", str(topic.partitions), ""))
            continue
        if count != topic.partitions:
            found.append(Difference(topic.name, "partitions", str(topic.partitions), str(count)))
        replicas = _replicas(admin, topic.name)
        if topic.replication_factor is not None and replicas != topic.replication_factor:
            found.append(
                Difference(topic.name, "replicas", str(topic.replication_factor), str(replicas))
            )
        actual = topic_config(admin, topic.name)
        found.extend(
            Difference(topic.name, key, value, actual.get(key, "unknown"))
            for key, value in sorted(topic.config.items())
            if actual.get(key) != value
        )
    return found


def relations(admin: AdminClient, topics: Iterable[str], source: str, output: str) -> list[str]:
    """Return warnings about settings that are right alone and wrong together."""
    configs = {
        name: topic_config(admin, name) for name in topics if describe_partitions(admin, name)
    }
    warnings = []
    for name, config in configs.items():
        replicas, needed = _replicas(admin, name), int(config["min.insync.replicas"])
        if replicas <= needed and replicas > 1:
            warnings.append(
                f"{name}: {replicas} replicas with min.insync.replicas={needed}: "
                "one broker down stops all writes; use one replica more"
            )
        if replicas < needed:
            warnings.append(
                f"{name}: {replicas} replicas with min.insync.replicas={needed}: "
                "nothing can be written"
            )
    if source in configs and output in configs:
        held, kept = configs[source]["retention.ms"], configs[output]["retention.ms"]
        if kept != UNLIMITED and (held == UNLIMITED or int(kept) < int(held)):
            warnings.append(
                f"{output}: retention.ms={kept} is below that of {source} ({held}): outputs keep "
                "the time of their input, so those of old records are deleted at once"
            )
    return warnings


def apply(admin: AdminClient, declared: Iterable[DeclaredTopic]) -> list[Difference]:
    """Create missing topics and set their settings; return the differences that are gone.

    The number of partitions is not changed: it would move keys to other partitions and break
    their order.

    Raises:
        KafkaFailure: The broker did not answer, or refused.
    """
    declared = list(declared)
    before = differences(admin, declared)
    missing = {each.topic for each in before if each.what == "missing"}
    new = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=topic.replication_factor or -1,
            config=topic.config,
        )
        for topic in declared
        if topic.name in missing
    ]
    if new:
        for name, future in admin.create_topics(new, operation_timeout=REQUEST_SECONDS).items():
            answer(future, f"creating {name}")
        _await(admin, missing)
    changes: dict[str, list[ConfigEntry]] = {}
    for each in before:
        if each.what not in {"missing", "partitions", "replicas"}:
            entry = ConfigEntry(
                each.what, each.declared, incremental_operation=AlterConfigOpType.SET
            )
            changes.setdefault(each.topic, []).append(entry)
    if changes:
        resources = [
            ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
            for name, entries in changes.items()
        ]
        for resource, future in admin.incremental_alter_configs(resources).items():
            answer(future, f"setting {resource.name}")
    return [each for each in before if each.what not in {"partitions", "replicas"}]


def verify(admin: AdminClient, declared: Iterable[DeclaredTopic]) -> list[str]:
    """Check before the start that all topics exist; return warnings about other differences.

    Raises:
        TopicError: A topic is missing.
        KafkaFailure: The broker did not answer.
    """
    declared = list(declared)
    missing = [each.name for each in declared if not describe_partitions(admin, each.name)]
    if missing:
        raise TopicError(
            f"missing on the broker: {', '.join(missing)}; create with `lanternpipe topics apply`"
        )
    try:
        return [str(each) for each in differences(admin, declared)]
    except RefusedFailure:  # who only reads and writes need not be allowed to see settings
        return []
    except FatalFailure as failure:
        return [f"the topics' settings are not checked: {failure}"]


def topic_config(admin: AdminClient, topic: str) -> dict[str, str]:
    """Return all settings of a topic that are in force."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS).values()
    entries = answer(future, f"reading the settings of {topic}")
    return {name: str(entry.value) for name, entry in entries.items()}


def _await(admin: AdminClient, topics: Iterable[str]) -> None:
    """Wait until new topics are known: a broker says "created" before its metadata tells of it."""
    deadline = time.monotonic() + KNOWN_SECONDS
    for name in topics:
        while not describe_partitions(admin, name):
            if time.monotonic() > deadline:
                raise RetriableFailure("_TIMED_OUT", f"{name} was created and does not come up")
            time.sleep(0.05)


def _replicas(admin: AdminClient, topic: str) -> int:
    with mapped(f"describing {topic}"):
        partitions = admin.list_topics(topic, timeout=REQUEST_SECONDS).topics[topic].partitions
    return min(len(partition.replicas) for partition in partitions.values())
