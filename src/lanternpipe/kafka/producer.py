"""The sink of records: a confluent_kafka producer, written in columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import repeat
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as ClientPartition

from lanternpipe.errors import AbortableFailure, FencedFailure, KafkaFailure
from lanternpipe.kafka.clients import Events, opened, reopened
from lanternpipe.kafka.config import QUEUE_KILOBYTES, QUEUE_RECORDS, Config
from lanternpipe.kafka.errors import RECORD_AT_FAULT, REFUSED, failure, mapped
from lanternpipe.ports import Log, Refusal
from lanternpipe.records import Outgoing, TopicPartition

CALL_SECONDS = 10.0  # how long one transaction call may wait before it is made again
SAMPLE = 8  # records of a batch by which the size of the others is estimated
FULL_WAIT = 0.01  # seconds between looks at a queue that is full

# Records of an aborted transaction that had not left yet; that is what an abort is for.
PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})


def served(call: Callable[[float], int], timeout: float) -> int:
    """Let a producer serve its events.

    A fatal error does not come to the callback for errors but is raised from here; delivery
    reports that are served after it then fail, with it as the cause.

    Raises:
        KafkaFailure: The fatal error.
    """
    try:
        return call(timeout)
    except (KafkaException, SystemError) as error:
        cause = error if isinstance(error, KafkaException) else error.__cause__
        if not isinstance(cause, KafkaException):
            raise
        raise failure(cause.args[0], "serving the producer's events") from error


class RecordProducer:
    """Writes batches of records and remembers what could not be delivered.

    Args:
        config: As made by one of the functions in ``kafka.config``.
        log: Writes log lines.
        beat: Called while waiting for room in the queue.
        refused: Called with a code and a reason when a broker does not take us.
    """

    def __init__(
        self,
        config: Config,
        *,
        log: Log,
        beat: Callable[[], None] = lambda: None,
        refused: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        self._config = config
        self._beat = beat
        self._limit = int(config.get("queue.buffering.max.messages", QUEUE_RECORDS))
        self._limit_bytes = 1024 * int(config.get("queue.buffering.max.kbytes", QUEUE_KILOBYTES))
        self._record_bytes = 0.0
        self._events = Events("producer", log, refused=refused)
        self.statistics = self._events.statistics
        self._refusal: Refusal | None = None
        self._undelivered = False
        self._producer = self._open(opened)

    def send(self, batch: Outgoing) -> None:
        """Enqueue a batch, waiting while the queue is full."""
        producer = self._producer
        sample = [len(value or b"") for value in batch.values[:SAMPLE]]
        self._record_bytes = sum(sample) / max(1, len(sample))
        self.poll(0)  # serves delivery reports, or finished records would pile up
        while len(producer) and len(producer) + len(batch) > self._limit:
            self._wait_for_room()
        sent = 0
        while sent < len(batch):
            columns: list[Any] = [batch.values, batch.keys, batch.timestamps]
            if batch.headers is not None:
                columns.append(batch.headers)
            if sent:
                columns = [column[sent:] for column in columns]
            values, keys, *others = columns
            done: list[None] = []
            try:
                # Positional up to the timestamp: keywords would cost a third more. What was
                # enqueued before an exception stays in `done`, so nothing is sent twice.
                done.extend(
                    map(
                        producer.produce,
                        repeat(batch.topic),
                        values,
                        keys,
                        repeat(-1),
                        repeat(None),
                        repeat(None),
                        *others,
                    )
                )
            except BufferError:  # full by bytes
                self._wait_for_room()
            except KafkaException as error:
                raise self._refused(error.args[0], batch.topic) from error
            sent += len(done)

    def fullness(self) -> float:
        """Return how full the queue is by number and, estimated, by size."""
        return len(self._producer) * max(1 / self._limit, self._record_bytes / self._limit_bytes)

    def flush(self, timeout: float) -> int:
        """Wait for acknowledgements; return how many records are still without one."""
        return served(self._producer.flush, timeout)

    def poll(self, timeout: float) -> None:
        """Serve delivery reports, waiting up to ``timeout`` seconds for one."""
        served(self._producer.poll, timeout)

    def take_refusal(self) -> Refusal | None:
        """Return, and forget, the first record that could not be delivered since last asked."""
        refusal, self._refusal = self._refusal, None
        return refusal

    def take_disturbance(self) -> bool:
        """Tell, and forget, whether a connection was lost or a request timed out."""
        try:
            self.poll(0)  # error events wait there
        except FencedFailure:
            pass  # is no doubt about the transaction; the next call tells it again
        except KafkaFailure:  # the next call that matters tells it again
            self._events.disturbed = True
        disturbed, self._events.disturbed = self._events.disturbed, False
        return disturbed

    def log_in_with(self, username: str, password: str) -> None:
        """Use this from the next login on."""
        self._producer.set_sasl_credentials(username, password)

    def rebuild(self) -> None:
        """Replace the client by a new one; what still waits in the old one is dropped.

        A transactional one has the same id, and is not yet initialised.

        Raises:
            RefusedFailure: Files of ours do not fit together; the old one is still in place.
        """
        # What each record holds is freed by its delivery report alone.
        with suppress(KafkaException, KafkaFailure):
            self._producer.purge()
            self.poll(0)
        self._producer = self._open(reopened)

    def close(self, timeout: float) -> None:
        """Flush for at most ``timeout`` seconds and drop what is left."""
        # Not Producer.close(): it has no time-out, and blocks while a broker is down.
        with suppress(KafkaFailure):
            self.flush(timeout)

    def _wait_for_room(self) -> None:
        self._beat()
        self.poll(FULL_WAIT)

    def _open(self, how: Callable[..., Producer]) -> Producer:
        config = {**self._config, "on_delivery": self._on_undelivered}
        return self._events.take_over(lambda hooks: how(Producer, {**config, **hooks}))

    def _on_undelivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        self._undelivered = True
        if error.code() not in PURGED and self._refusal is None:
            self._refusal = Refusal(
                error.name(),
                record_at_fault=error.code() in RECORD_AT_FAULT,
                no_access=error.code() in REFUSED,
                topic=message.topic() or "",
            )

    def _refused(self, error: KafkaError, topic: str) -> KafkaFailure:
        what = f"producing to {topic}"
        if error.code() in RECORD_AT_FAULT:
            # The client would go on, and commit the rest without this record.
            self._refusal = Refusal(error.name(), record_at_fault=True)
            return AbortableFailure(error.name(), what)
        return failure(error, what)


class TransactionalProducer(RecordProducer):
    """Writes records in transactions."""

    def take_undelivered(self) -> bool:
        """Tell, and forget, whether the client gave up any record, for whatever reason."""
        undelivered, self._undelivered = self._undelivered, False
        return undelivered

    def init_transactions(self) -> None:
        """Fence predecessors with the same transactional id and end their transactions."""
        with mapped("initialising transactions"):
            self._producer.init_transactions(CALL_SECONDS)

    def begin(self) -> None:
        """Open a transaction."""
        with mapped("beginning a transaction"):
            self._producer.begin_transaction()

    def send_offsets(self, offsets: Mapping[TopicPartition, int], metadata: object) -> None:
        """Make the offsets part of the open transaction."""
        places = [ClientPartition(*at, offset) for at, offset in offsets.items()]
        with mapped("sending offsets to the transaction"):
            self._producer.send_offsets_to_transaction(places, metadata, CALL_SECONDS)

    def commit(self) -> None:
        """Commit the open transaction."""
        with mapped("committing the transaction"):
            self._producer.commit_transaction(CALL_SECONDS)

    def abort(self) -> None:
        """Abort the open transaction."""
        with mapped("aborting the transaction"):
            self._producer.abort_transaction(CALL_SECONDS)

    def _refused(self, error: KafkaError, topic: str) -> KafkaFailure:
        refused = super()._refused(error, topic)
        if error.code() == KafkaError._FATAL:
            try:
                self.abort()  # refused at once, with the reason
            except KafkaFailure as told:
                return told
        if error.code() == KafkaError._STATE:
            # The transaction has failed before; its end tells why.
            return AbortableFailure(error.name(), str(refused))
        return refused
