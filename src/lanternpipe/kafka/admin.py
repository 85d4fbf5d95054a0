"""What is asked of the broker beside the flow of records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaException,
)
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from lanternpipe.errors import ConfigError, FatalFailure, RetriableFailure
from lanternpipe.kafka.clients import Events, opened
from lanternpipe.kafka.config import Config
from lanternpipe.kafka.errors import REFUSED, failure, mapped
from lanternpipe.ports import Log
from lanternpipe.records import Backlog, TopicPartition

T = TypeVar("T")
REQUEST_SECONDS = 5.0


class LogEnds:
    """Asks where partitions end: 1 to 2 ms for all, on a connection of its own.

    The consumer's own query waits behind its fetch in progress, half a second a partition, and
    what it has cached freezes while a partition is paused.
    """

    def __init__(self, config: Config, *, log: Log) -> None:
        self._config = config
        self._log = log
        self._admin: AdminClient | None = None

    def log_in_with(self, username: str, password: str) -> None:
        """Use this from the next login on."""
        if (admin := self._admin) is not None:  # another thread may renew it
            admin.set_sasl_credentials(username, password)

    def renew(self) -> None:
        """Use a new client from the next question on."""
        self._admin = None

    def last_stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the last stable offset of each partition: where a committed reader ends.

        Raises:
            KafkaFailure: The broker did not answer.
        """
        return self._list(partitions, OffsetSpec.latest())

    def high(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the high watermark of each partition, which open transactions do not hold back."""
        return self._list(partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)

    def first(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that exists of each partition."""
        return self._list(partitions, OffsetSpec.earliest())

    def at_time(
        self, partitions: Iterable[TopicPartition], milliseconds: int
    ) -> dict[TopicPartition, int]:
        """Return the first offset at or after a time; the end where there is none."""
        asked = list(partitions)
        found = self._list(asked, OffsetSpec.for_timestamp(milliseconds))
        if missing := [each for each in asked if found[each] < 0]:
            found.update(self.last_stable(missing))
        return found

    def newest(self, topic: str) -> int:
        """Return the latest time of all records of a topic, in milliseconds since 1970; or 0."""
        asked = {
            ClientPartition(*each): OffsetSpec.max_timestamp()
            for each in describe_partitions(self._client(), topic)
        }
        answers = self._client().list_offsets(asked, request_timeout=REQUEST_SECONDS)
        found = [answer(each, "asking for the newest record") for each in answers.values()]
        return max((int(each.timestamp) for each in found), default=0)

    def backlog(self, topic: str) -> Backlog:
        """Return what a topic holds, and the time of the oldest record."""
        partitions = describe_partitions(self._client(), topic)
        firsts, ends = self.first(partitions), self.last_stable(partitions)
        filled = {at: first for at, first in firsts.items() if ends[at] > first}
        stamps = read_timestamps(self._config, filled, log=self._log).values()
        records = sum(ends[at] - first for at, first in filled.items())
        return Backlog(records, min(stamps, default=0))

    def _client(self) -> AdminClient:
        admin = self._admin
        if admin is None:
            try:
                admin = open_admin(self._config, log=self._log)
            except ConfigError as error:  # files that are being replaced do not fit together yet
                raise RetriableFailure("_INVALID_ARG", str(error)) from error
            # Of a client that is not connected yet, one first request in five takes 3 s.
            with mapped("connecting"):
                admin.list_topics(timeout=REQUEST_SECONDS)
            self._admin = admin
        admin.poll(0)  # serves log lines and errors, which would pile up
        return admin

    def _list(
        self,
        partitions: Iterable[TopicPartition],
        spec: OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> dict[TopicPartition, int]:
        asked = {ClientPartition(*each): spec for each in partitions}
        if not asked:
            return {}
        answers = self._client().list_offsets(
            asked, isolation_level=isolation, request_timeout=REQUEST_SECONDS
        )
        return {
            TopicPartition(each.topic, each.partition): answer(future, "listing offsets").offset
            for each, future in answers.items()
        }


def open_admin(config: Config, *, log: Log) -> AdminClient:
    """Open an admin client.

    Raises:
        ConfigError: The client refuses the configuration.
    """
    return opened(AdminClient, {**config, **Events("admin", log).hooks()})


def group_offsets(
    config: Config, group: str, partitions: Iterable[TopicPartition], *, log: Log
) -> dict[TopicPartition, int | None]:
    """Return the committed offsets of any group; None where there is none.

    Asked by a consumer that never joins: the admin client's own request can crash the process
    while the group's coordinator moves (librdkafka#5040).

    Raises:
        KafkaFailure: The broker did not answer.
    """
    asking = {
        "group.id": group,
        # Or the answer would wait for transactions that are open, also for one that hangs.
        "isolation.level": "read_uncommitted",
    }
    reader = opened(Consumer, {**config, **Events("reader", log).hooks(), **asking})
    asked = [ClientPartition(*each) for each in partitions]
    what = f"reading the offsets of group {group}"

    def ask() -> list[ClientPartition]:
        with mapped(what):
            found = reader.committed(asked, timeout=REQUEST_SECONDS)
        for each in found:
            if each.error is not None:
                raise failure(each.error, what)
        return found

    try:
        found = persistently(ask)
    except RetriableFailure:
        event = reader.poll(0)  # that we may not see the group comes as an event
        if event is not None and (told := event.error()) and told.code() in REFUSED:
            raise failure(told, what) from None
        raise
    finally:
        reader.close()
    return {
        TopicPartition(each.topic, each.partition): each.offset if each.offset >= 0 else None
        for each in found
    }


def persistently(ask: Callable[[], T]) -> T:
    """Ask again for a while when the answer is one that passes, such as a coordinator that moves.

    Raises:
        KafkaFailure: The answer is final, or has not got better in time.
    """
    deadline = time.monotonic() + REQUEST_SECONDS
    while True:
        try:
            return ask()
        except RetriableFailure:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def answer(future: Future[T], what: str) -> T:
    """Wait for an admin request.

    Raises:
        KafkaFailure: It failed, or nobody answered in time.
    """
    try:
        return future.result(timeout=REQUEST_SECONDS * 2)
    except KafkaException as error:
        raise failure(error.args[0], what) from error
    except TimeoutError as error:
        raise RetriableFailure("_TIMED_OUT", f"{what}: no answer", indefinite=True) from error


def broker_setting(admin: AdminClient, name: str) -> str:
    """Return a setting of some broker.

    Raises:
        KafkaFailure: The broker did not answer, or we may not know.
    """
    with mapped("describing the cluster"):
        broker = min(admin.list_topics(timeout=REQUEST_SECONDS).brokers)
    resource = ConfigResource(ResourceType.BROKER, str(broker))
    (future,) = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS).values()
    told = answer(future, "reading the settings of a broker")
    if name not in told:
        raise FatalFailure("UNKNOWN_CONFIG", f"the broker does not tell its {name}")
    return str(told[name].value)


def describe_partitions(client: Any, topic: str) -> list[TopicPartition]:
    """Return the partitions of a topic; none when it does not exist.

    Raises:
        KafkaFailure: The broker did not answer, or we may not know.
    """
    try:
        metadata = client.list_topics(topic, timeout=REQUEST_SECONDS).topics[topic]
    except KafkaException as error:
        raise failure(error.args[0], f"describing {topic}") from error
    if metadata.error is not None and metadata.error.code() in REFUSED:
        raise failure(metadata.error, f"describing {topic}")
    return (
        [] if metadata.error else [TopicPartition(topic, at) for at in sorted(metadata.partitions)]
    )


def read_timestamps(
    config: Config, places: Mapping[TopicPartition, int], *, log: Log
) -> dict[TopicPartition, int]:
    """Read one record of each partition; return their timestamps in milliseconds.

    Args:
        config: Connection settings.
        places: At or behind which offset.
        log: Writes log lines.
    """
    found: dict[TopicPartition, int] = {}
    if not places:
        return found
    reader = opened(
        Consumer,
        {
            **config,
            **Events("reader", log).hooks(),
            "group.id": "lanternpipe-reader",  # required by the client; never joined
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            # One record a partition is all we want.
            "fetch.max.bytes": 1_048_576,
            "max.partition.fetch.bytes": 16_384,
            "queued.max.messages.kbytes": 4_096,
        },
    )
    try:
        reader.assign([ClientPartition(*at, offset) for at, offset in places.items()])
        deadline = time.monotonic() + REQUEST_SECONDS
        while len(found) < len(places) and time.monotonic() < deadline:
            for message in reader.consume(500, 0.1):
                at = TopicPartition(message.topic() or "", message.partition() or 0)
                if message.error() is None and at not in found:
                    found[at] = message.timestamp()[1]
                    reader.incremental_unassign([ClientPartition(*at)])
    finally:
        reader.close()
    return found
