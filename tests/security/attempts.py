"""All that somebody could try on brokers, by bare clients that check nothing themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

E = KafkaError
REFUSED = {
    E.TOPIC_AUTHORIZATION_FAILED,
    E.GROUP_AUTHORIZATION_FAILED,
    E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    E.CLUSTER_AUTHORIZATION_FAILED,
}
SECONDS = 20.0
CLUSTER = "kafka-cluster"


class Right(NamedTuple):
    """Something that one may do or not, in the authorizer's terms."""

    operation: str
    kind: str
    name: str


def permitted(attempt: Callable[[], object]) -> bool:
    """Try it; say whether the broker's authorizer let it pass, whatever came of it then."""
    try:
        attempt()
    except KafkaException as error:
        cause = error.args[0]
        if cause.code() in REFUSED:
            return False
        if cause.code() < 0:  # the client's own: whether it may be is not known
            raise
    return True


class Attempts:
    """What one user can try.

    Args:
        config: How the user gets in.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = {**config, "log_level": 0}
        self._admin = AdminClient(self._config)

    def harmless(
        self, topics: Sequence[str], groups: Sequence[str], transactional_ids: Sequence[str]
    ) -> Iterator[tuple[Right, Callable[[], object]]]:
        """Yield each attempt that leaves all as it was, with the right it takes."""
        for name in topics:
            yield Right("describe", "topic", name), partial(self._describe, name)
            yield Right("read", "topic", name), partial(self._read, name)
            yield Right("write", "topic", name), partial(self._write, name)
            yield (
                Right("describe_configs", "topic", name),
                partial(self._configs, ResourceType.TOPIC, name),
            )
            yield (
                Right("alter_configs", "topic", name),
                partial(self._alter_config, ResourceType.TOPIC, name, "retention.ms"),
            )
            yield Right("alter", "topic", name), partial(self._grow, name)
        for name in groups:
            yield Right("describe", "group", name), partial(self._members, name)
            yield Right("read", "group", name), partial(self._commit, name, topics[0])
        for name in transactional_ids:
            yield (
                Right("write", "transactional_id", name),
                partial(self._take_over, name),
            )
        # Not who has which rights: the client says "nobody has any" where it is refused.
        yield Right("create", "cluster", CLUSTER), self._create
        yield Right("alter", "cluster", CLUSTER), self._give
        yield (
            Right("describe_configs", "cluster", CLUSTER),
            partial(self._configs, ResourceType.BROKER, "1"),
        )
        yield (
            Right("alter_configs", "cluster", CLUSTER),
            partial(self._alter_config, ResourceType.BROKER, "1", "log.cleaner.threads"),
        )

    def destroying(
        self, topics: Sequence[str], groups: Sequence[str]
    ) -> Iterator[tuple[Right, Callable[[], object]]]:
        """Yield each attempt that would take something away, with the right it takes."""
        for name in groups:
            yield Right("delete", "group", name), partial(self._disband, name)
        for name in topics:
            yield Right("delete", "topic", name), partial(self._delete, name)

    def _describe(self, topic: str) -> None:
        # Also asked before reading and writing, which bring it with them: of topics that it may
        # not see a consumer says nothing at all.
        found = self._admin.list_topics(topic, timeout=SECONDS).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)

    def _read(self, topic: str) -> None:
        self._describe(topic)
        config = {**self._config, "group.id": "bare", "enable.partition.eof": True}
        deadline = time.monotonic() + SECONDS
        with closing(Consumer(config)) as consumer:
            consumer.assign([TopicPartition(topic, 0, 0)])
            while time.monotonic() < deadline:
                message = consumer.poll(0.5)
                if message is None:
                    continue
                cause = message.error()
                if cause is None or cause.code() == E._PARTITION_EOF:
                    return
                if cause.code() == E.TOPIC_AUTHORIZATION_FAILED:
                    raise KafkaException(cause)
        raise AssertionError(f"reading {topic}: no answer")

    def _write(self, topic: str) -> None:
        told: list[KafkaError | None] = []
        self._describe(topic)
        producer = Producer(self._config)
        producer.produce(topic, b"{}", on_delivery=lambda error, _: told.append(error))
        assert producer.flush(2 * SECONDS) == 0, f"writing {topic}: no answer"
        if told[0] is not None:
            raise KafkaException(told[0])

    def _configs(self, kind: ResourceType, name: str) -> None:
        _all(self._admin.describe_configs([ConfigResource(kind, name)], request_timeout=SECONDS))

    def _alter_config(self, kind: ResourceType, name: str, setting: str) -> None:
        entry = ConfigEntry(setting, "2", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(kind, name, incremental_configs=[entry])
        _all(self._admin.incremental_alter_configs([resource], validate_only=True))

    def _grow(self, topic: str) -> None:
        _all(self._admin.create_partitions([NewPartitions(topic, 20)], validate_only=True))

    def _members(self, group: str) -> None:
        _all(self._admin.describe_consumer_groups([group], request_timeout=SECONDS))

    def _commit(self, group: str, topic: str) -> None:
        offsets = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])]
        for future in self._admin.alter_consumer_group_offsets(offsets).values():
            for each in future.result(SECONDS).topic_partitions:
                # What the topic refuses is none of the group's business.
                if each.error is not None and each.error.code() == E.GROUP_AUTHORIZATION_FAILED:
                    raise KafkaException(each.error)

    def _take_over(self, transactional_id: str) -> None:
        producer = Producer({**self._config, "transactional.id": transactional_id})
        producer.init_transactions(SECONDS)

    def _create(self) -> None:
        _all(self._admin.create_topics([NewTopic("of-nobody", 1, 1)], validate_only=True))

    def _give(self) -> None:
        binding = AclBinding(
            ResourceType.TOPIC,
            "of-nobody",
            ResourcePatternType.LITERAL,
            "User:nobody",
            "*",
            AclOperation.READ,
            AclPermissionType.ALLOW,
        )
        _all(self._admin.create_acls([binding]))

    def _disband(self, group: str) -> None:
        _all(self._admin.delete_consumer_groups([group]))

    def _delete(self, topic: str) -> None:
        _all(self._admin.delete_topics([topic]))


def _all(futures: Mapping[Any, Future[Any]]) -> None:
    for future in futures.values():
        future.result(SECONDS)
