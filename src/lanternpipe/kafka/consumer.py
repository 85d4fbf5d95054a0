"""The source of records: a confluent_kafka consumer, read in columns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
)
from confluent_kafka import TopicPartition as ClientPartition

from lanternpipe.errors import FatalFailure, RefusedFailure, RetriableFailure
from lanternpipe.kafka.admin import LogEnds
from lanternpipe.kafka.clients import Events, opened, reopened
from lanternpipe.kafka.config import Config
from lanternpipe.kafka.errors import CONSUMER_FATAL, REFUSED, failure, mapped
from lanternpipe.kafka.refusal import explained
from lanternpipe.ports import AssignmentListener, Log
from lanternpipe.records import Fetched, Records, TopicPartition

GATHER_SECONDS = 0.001  # while behind: how long a fetch may take to be full
QUERY_SECONDS = 5.0
LEAVE_SECONDS = 5.0

# A rebalance is going on, or the partition has just been taken away.
_NOT_NOW = frozenset({KafkaError._STATE, KafkaError._UNKNOWN_PARTITION})


class RecordConsumer:
    """Reads topics as a member of a group.

    Args:
        config: As made by ``consumer_config``.
        topics: What to subscribe to.
        log: Writes log lines.
        waiting: Called when no broker can be reached.
        refused: Called with a code and a reason when a broker does not take us.
    """

    def __init__(
        self,
        config: Config,
        topics: list[str],
        *,
        log: Log,
        waiting: Callable[[str], None],
        refused: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        self._config = config
        self._topics = topics
        self._log = log
        self._full = False
        self._gone: set[TopicPartition] = set()
        # Told of by an event alone: with error_cb set, consume() keeps quiet about it.
        self._events = Events("consumer", log, unreachable=waiting, refused=refused)
        self._denied: RefusedFailure | None = None
        self.statistics = self._events.statistics
        self._consumer = self._open(opened)
        self._ends = LogEnds(config, log=log)

    def subscribe(self, listener: AssignmentListener) -> None:
        """Join the group."""
        self._listener = listener

        def told(callback: Callable[[Iterable[TopicPartition]], None]) -> Callable[..., None]:
            def tell(client: Consumer, partitions: list[ClientPartition]) -> None:
                if client is self._consumer:  # and not one that has been replaced
                    callback([_ours(each) for each in partitions])

            return tell

        def gone(callback: Callable[[Iterable[TopicPartition]], None]) -> Callable[..., None]:
            def tell(partitions: Iterable[TopicPartition]) -> None:
                self._gone.update(partitions)
                callback(partitions)

            return told(tell)

        self._consumer.subscribe(
            self._topics,
            on_assign=told(listener.on_assigned),
            on_revoke=gone(listener.on_revoked),
            on_lost=gone(listener.on_lost),
        )

    def fetch(self, max_records: int, timeout: float) -> Fetched:
        """Return up to ``max_records``, waiting up to ``timeout`` seconds for the first.

        Raises:
            FatalFailure: The consumer cannot go on.
            RefusedFailure: We may not read something. Told once: a client that was refused a topic
                asks again only after minutes, so it has to be replaced.
        """
        if self._denied is not None:
            denied, self._denied = self._denied, None
            raise denied
        consume = self._consumer.consume
        if self._full:  # behind: more is there already, so one call does
            messages = consume(max_records, GATHER_SECONDS)
        else:
            messages = consume(1, timeout)
            if messages and max_records > 1:
                self._gone.clear()
                # What the broker answered at once is here at once; more comes with its next answer.
                more = consume(max_records - 1, 0)
                if self._gone and _place(messages[0]) in self._gone:
                    messages = []  # its partition went, and may have come back, in between
                messages += more
        self._full = len(messages) == max_records
        if not messages:
            return Fetched()
        ends: list[tuple[TopicPartition, int]] = []
        lost: list[TopicPartition] = []
        # An event of the client that is no record has no timestamp either.
        timestamps = [stamp for kind, stamp in map(Message.timestamp, messages) if kind]
        if len(timestamps) < len(messages):
            messages = self._sort_out(messages, ends, lost)
            timestamps = list(map(_timestamp, messages))
        runs = self._runs(messages, timestamps) if messages else []
        return Fetched(runs, ends, lost, self._full)

    def seek(self, partition: TopicPartition, offset: int) -> bool:
        """Go on reading at ``offset``; False while a rebalance is going on."""
        try:
            self._consumer.seek(ClientPartition(*partition, offset))
        except KafkaException as error:
            if error.args[0].code() in _NOT_NOW:
                return False
            raise failure(error.args[0], f"seeking {partition}") from error
        return True

    def pause(self, partitions: Iterable[TopicPartition]) -> bool:
        """Read nothing from partitions for now; False while a rebalance is going on."""
        return self._switch(self._consumer.pause, partitions, "pausing")

    def resume(self, partitions: Iterable[TopicPartition]) -> bool:
        """Read from partitions again; False while a rebalance is going on."""
        return self._switch(self._consumer.resume, partitions, "resuming")

    def start_at(self, partition: TopicPartition, start: str | int) -> int | None:
        """Begin reading a partition at which the client has no valid offset."""
        offset: int | None = None
        if isinstance(start, int):
            offset = start
        elif start == "latest":
            offset = self._ends.last_stable([partition])[partition]
        elif start != "earliest":
            moment = datetime.fromisoformat(start)
            offset = self._ends.at_time([partition], round(moment.timestamp() * 1_000))[partition]
        # A partition at which the client gave up cannot be sought; it has to be assigned anew.
        place = ClientPartition(*partition, OFFSET_BEGINNING if offset is None else offset)
        try:
            self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([place])
        except KafkaException as error:
            if error.args[0].code() in _NOT_NOW:
                raise RetriableFailure(error.args[0].name(), f"starting {partition}") from error
            raise failure(error.args[0], f"starting {partition}") from error
        return offset

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Return the group's committed offsets; None where there is none."""
        asked = [ClientPartition(*each) for each in partitions]
        if not asked:
            return {}
        with mapped("reading committed offsets"):
            answers = self._consumer.committed(asked, timeout=QUERY_SECONDS)
        for answer in answers:
            if answer.error is not None:
                raise failure(answer.error, f"reading the committed offset of {_ours(answer)}")
        return {_ours(each): each.offset if each.offset >= 0 else None for each in answers}

    def available(self, partition: TopicPartition) -> tuple[int, int]:
        """Return the first offset that exists and the one behind the last."""
        with mapped(f"reading the ends of {partition}"):
            first, behind = self._consumer.get_watermark_offsets(
                ClientPartition(*partition), timeout=QUERY_SECONDS
            )
        return first, behind

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets outside of transactions, and wait for the answer."""
        asked = [ClientPartition(*at, offset) for at, offset in offsets.items()]
        with mapped("committing offsets"):
            answers = self._consumer.commit(offsets=asked, asynchronous=False)
        for answer in answers or ():
            if answer.error is not None:
                raise failure(answer.error, f"committing {_ours(answer)}")

    def group_metadata(self) -> object:
        """Return this member's place in the group."""
        return self._consumer.consumer_group_metadata()

    def log_in_with(self, username: str, password: str) -> None:
        """Use this from the next login on."""
        self._consumer.set_sasl_credentials(username, password)
        self._ends.log_in_with(username, password)

    def rebuild(self) -> None:
        """Replace the client; the old one is given a while to leave the group.

        Raises:
            RefusedFailure: Files of ours do not fit together; the old one is still in place.
        """
        self._denied = None
        old, self._consumer = self._consumer, self._open(reopened)
        self._ends.renew()
        self._full = False
        # In a thread: who has stopped fetching may also hang here.
        leaving = threading.Thread(target=old.close, name="leaving", daemon=True)
        leaving.start()
        leaving.join(LEAVE_SECONDS)
        self.subscribe(self._listener)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _open(self, how: Callable[..., Consumer]) -> Consumer:
        return self._events.take_over(lambda hooks: how(Consumer, {**self._config, **hooks}))

    def _switch(
        self,
        act: Callable[[list[ClientPartition]], None],
        partitions: Iterable[TopicPartition],
        what: str,
    ) -> bool:
        try:
            act([ClientPartition(*each) for each in partitions])
        except KafkaException as error:
            if error.args[0].code() in _NOT_NOW:
                return False
            raise failure(error.args[0], what) from error
        return True

    def _runs(self, messages: list[Message], timestamps: list[int]) -> list[Records]:
        """Sort messages by partition; while behind, a batch is mostly of one.

        When caught up, many small fetches come one after the other, and a run costs as much as
        fifty records do: so there is one for each partition, and not for each fetch.
        """
        places: list[Any] = list(map(Message.partition, messages))
        topics = list(map(Message.topic, messages))
        if topics.count(topics[0]) < len(topics):  # a string of its own each: dear to hash
            places = list(zip(topics, places, strict=True))
        if places.count(places[0]) == len(places):
            return [_columns(messages, timestamps)]
        by_place: dict[Any, tuple[list[Message], list[int]]] = {}
        start = 0
        for end in range(1, len(places) + 1):
            if end == len(places) or places[end] != places[start]:
                run = by_place.setdefault(places[start], ([], []))
                run[0].extend(messages[start:end])
                run[1].extend(timestamps[start:end])
                start = end
        return [_columns(*run) for run in by_place.values()]

    def _sort_out(
        self,
        messages: list[Message],
        ends: list[tuple[TopicPartition, int]],
        lost: list[TopicPartition],
    ) -> list[Message]:
        """Separate records from the events that the client hands out among them."""
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
                continue
            code = error.code()
            if code == KafkaError._PARTITION_EOF:
                ends.append((_place(message), cast("int", message.offset())))
            elif code == KafkaError._AUTO_OFFSET_RESET:
                lost.append(_place(message))
            elif code in REFUSED:
                # Raised by the next fetch: what came with it must not be lost.
                self._denied = RefusedFailure(error.name(), explained(error))
            elif code in CONSUMER_FATAL or error.fatal():
                raise FatalFailure(error.name(), f"the consumer cannot go on: {error.str()}")
            else:
                self._log("warning", "consumer_error", code=error.name(), text=error.str())
        return records


def _columns(messages: list[Message], timestamps: list[int]) -> Records:
    offsets = cast("list[int]", list(map(Message.offset, messages)))
    headers: list[Any] = []
    unreadable: list[int] = []
    mapped = map(Message.headers, messages)
    while len(headers) < len(messages):
        try:
            headers.extend(mapped)  # keeps what it has at an exception, and can be gone on with
        except (SystemError, UnicodeDecodeError):
            # A name that is not UTF-8. Not to be asked for again: the client would crash.
            unreadable.append(offsets[len(headers)])
            headers.append(None)
    return Records(
        _place(messages[0]),
        offsets,
        list(map(Message.key, messages)),
        list(map(Message.value, messages)),
        timestamps,
        None if headers.count(None) == len(headers) else headers,
        frozenset(unreadable),
    )


def _timestamp(message: Message) -> int:
    """Return 0, which means "now", for a record without: the client shows -1."""
    kind, stamp = message.timestamp()
    return 0 if kind == TIMESTAMP_NOT_AVAILABLE else stamp


def _place(message: Message) -> TopicPartition:
    return TopicPartition(cast("str", message.topic()), cast("int", message.partition()))


def _ours(partition: ClientPartition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)
