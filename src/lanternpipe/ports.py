"""The protocols between the loops and Kafka.

``lanternpipe.runtime`` speaks them, ``lanternpipe.kafka`` fulfils them, and neither knows the
other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from lanternpipe.measures import Exemplar
from lanternpipe.records import Fetched, Outgoing, Records, TopicPartition


class Log(Protocol):
    """Writes one structured log line."""

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        """Log ``event``, a name, at ``debug``, ``info``, ``warning`` or ``error``."""


class Refusal(NamedTuple):
    """A record that was sent and will never arrive.

    Attributes:
        code: The Kafka error code.
        record_at_fault: Whether this very record was refused for what it is.
        no_access: Whether we may not write where it was to go.
        topic: Where that was, as far as known.
    """

    code: str
    record_at_fault: bool
    no_access: bool = False
    topic: str = ""


class TracedRun(Protocol):
    """The traced records of one run, from before the planning until after the sending."""

    @property
    def records(self) -> Records:
        """The run; traced records carry the context of their spans on."""

    def failed(self, place: int) -> bytes | None:
        """Trace a record because it failed; returns the ``traceparent`` of its dead letter."""

    def end(
        self,
        failures: Mapping[int, tuple[str, str]],
        began: float,
        polled: tuple[float, float],
        until: int,
    ) -> Exemplar | None:
        """Finish the spans of the run up to a place; returns one record as an exemplar."""


class Tracing(Protocol):
    """Decides which records are traced."""

    def begin(self, records: Records) -> TracedRun:
        """Choose records of a run before it is planned."""


class AssignmentListener(Protocol):
    """Is told of changes of the assignment, always from within ``Source.fetch``."""

    def on_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions have been given to this process."""

    def on_revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions are about to be taken away; they are still ours until this returns."""

    def on_lost(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions have been taken away already; another process may own them."""


class Source(Protocol):
    """Where records come from."""

    def subscribe(self, listener: AssignmentListener) -> None:
        """Join the group; the listener is called from within ``fetch``."""

    def fetch(self, max_records: int, timeout: float) -> Fetched:
        """Return up to ``max_records``, waiting up to ``timeout`` seconds for the first.

        Raises:
            FatalFailure: The consumer cannot go on.
        """

    def seek(self, partition: TopicPartition, offset: int) -> bool:
        """Go on reading at ``offset``; False if the partition cannot be moved just now."""

    def pause(self, partitions: Iterable[TopicPartition]) -> bool:
        """Read nothing from partitions for now; False if they cannot be paused just now."""

    def resume(self, partitions: Iterable[TopicPartition]) -> bool:
        """Read from partitions again; False if they cannot be resumed just now."""

    def start_at(self, partition: TopicPartition, start: str | int) -> int | None:
        """Begin reading a partition at which the client has no valid offset.

        ``start`` is ``earliest``, ``latest``, a time or an offset. Returns the offset, or None
        where it is not known before the first record.
        """

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Return the group's committed offsets as the broker knows them; None: there is none.

        Raises:
            RetriableFailure: The broker did not answer in time.
        """

    def available(self, partition: TopicPartition) -> tuple[int, int]:
        """Return the first offset that exists and the one behind the last."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets outside of transactions.

        Raises:
            KafkaFailure: The commit did not happen, or nobody knows.
        """

    def group_metadata(self) -> object:
        """Return this member's place in the group, which lets the broker fence zombies."""

    def rebuild(self) -> None:
        """Replace the client by a new one, which joins the group anew.

        The listener is not told; it has let go of everything before.
        """

    def close(self) -> None:
        """Leave the group."""


class Sink(Protocol):
    """Where records go."""

    def send(self, batch: Outgoing) -> None:
        """Enqueue records, waiting while the queue is full.

        Raises:
            KafkaFailure: The producer refuses; the open transaction must be aborted.
        """

    def fullness(self) -> float:
        """Return how full the queue of what waits for the broker is, from 0 to 1."""

    def flush(self, timeout: float) -> int:
        """Wait for acknowledgements; return how many records are still without one."""

    def take_refusal(self) -> Refusal | None:
        """Return, and forget, the first record that could not be delivered since last asked."""

    def take_disturbance(self) -> bool:
        """Tell, and forget, whether a connection was lost or a request timed out."""

    def rebuild(self) -> None:
        """Replace the client by a new one; what still waits in the old one is dropped.

        A transactional one has the same id, and is not yet initialised.
        """

    def close(self, timeout: float) -> None:
        """Drop the client within ``timeout`` seconds."""


class TransactionalSink(Sink, Protocol):
    """Where records go in transactions. Each call may raise any ``KafkaFailure``."""

    def take_undelivered(self) -> bool:
        """Tell, and forget, whether the client gave up any record, for whatever reason."""

    def init_transactions(self) -> None:
        """Fence predecessors with the same transactional id and end their transactions."""

    def begin(self) -> None:
        """Open a transaction."""

    def send_offsets(self, offsets: Mapping[TopicPartition, int], metadata: object) -> None:
        """Make the offsets part of the open transaction."""

    def commit(self) -> None:
        """Commit the open transaction."""

    def abort(self) -> None:
        """Abort the open transaction."""
