"""The producers of ``FakeBroker``: what the runtime takes for a client that writes.

They assert the rules of the real ones: no abort without a flush, no late EndTxn that could hit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lanternpipe.errors import AbortableFailure, FencedFailure, KafkaFailure
from lanternpipe.ports import Refusal
from lanternpipe.records import Outgoing, TopicPartition
from lanternpipe.testing.fake_broker import FakeBroker, Written, flatten


class FakeSink:
    """A transactional producer.

    Attributes:
        disturbed: Whether a connection was lost.
        stuck: How many flushes leave records unacknowledged.
        full: How full its queue is, from 0 to 1.
    """

    def __init__(self, broker: FakeBroker) -> None:
        self.disturbed = False
        self.stuck = 0
        self.full = 0.0
        self._broker = broker
        self._ready = self._open = self._flushed = self._late = False
        self._batch: list[Written] = []
        self._offsets: dict[TopicPartition, int] = {}
        self._refusal: Refusal | None = None

    def init_transactions(self) -> None:
        """Get ready."""

        def act() -> None:
            self._ready = True

        self._broker.through("init", act)

    def begin(self) -> None:
        """Open a transaction."""

        def act() -> None:
            assert self._ready, "begin before init_transactions"
            assert not self._open, "begin within a transaction"
            assert not self._late, "a late EndTxn could end the next transaction (KAFKA-17754)"
            self._open, self._batch, self._offsets = True, [], {}
            self._broker.begun += 1

        self._broker.through("begin", act)

    def send(self, batch: Outgoing) -> None:
        """Enqueue records."""

        def act() -> None:
            assert self._open, "send outside of a transaction"
            self._flushed = False
            self._batch += flatten(batch)

        self._broker.through("send", act)

    def send_offsets(self, offsets: Mapping[TopicPartition, int], metadata: object) -> None:
        """Add offsets; refused when the group has moved on."""

        def act() -> None:
            assert self._open, "offsets outside of a transaction"
            if metadata != self._broker.generation:
                raise AbortableFailure("ILLEGAL_GENERATION", "sending offsets")
            self._offsets = dict(offsets)

        self._noting_doubt("send_offsets", act)

    def commit(self) -> None:
        """Commit; again after an answer that was lost, it does nothing more."""

        def act() -> None:
            if not self._open:
                return  # committed by the call before, whose answer was lost
            self.flush(0)
            if any(map(self._broker.refuses, self._batch)):
                raise AbortableFailure("_INCONSISTENT", "committing")
            self._broker.store(self._batch, self._offsets)
            self._open = False

        self._noting_doubt("commit", act)

    def abort(self) -> None:
        """Abort."""

        def act() -> None:
            assert self._flushed, "abort without flush kills the producer (librdkafka#4849)"
            lost = any(map(self._broker.refuses, self._batch))
            assert not lost, "sequence numbers of lost records are given to the next ones"
            self._open = False

        self._noting_doubt("abort", act)

    def rebuild(self) -> None:
        """Start afresh; what was open is aborted by the next ``init_transactions``."""

        def act() -> None:
            self._batch = []
            self._ready = self._open = self._late = self.disturbed = False

        self._broker.through("rebuild", act)

    def flush(self, timeout: float) -> int:
        """Wait for acknowledgements."""
        self._broker.through("flush", lambda: None)
        self._flushed = True
        if any(map(self._broker.refuses, self._batch)) and self._refusal is None:
            self._refusal = Refusal("INVALID_RECORD", record_at_fault=True)
        if self.stuck:
            self.stuck -= 1
            return 1
        return 0

    def fullness(self) -> float:
        """Tell what the test has planned."""
        return self.full

    def take_refusal(self) -> Refusal | None:
        """Return and forget."""
        refusal, self._refusal = self._refusal, None
        return refusal

    def refuse_next(self, code: str) -> None:
        """Let the next record come back with this code."""
        self._refusal = Refusal(code, record_at_fault=False)

    def take_undelivered(self) -> bool:
        """Tell whether a record was refused."""
        return any(map(self._broker.refuses, self._batch))

    def take_disturbance(self) -> bool:
        """Tell and forget."""
        disturbed, self.disturbed = self.disturbed, False
        return disturbed

    def close(self, timeout: float) -> None:
        """Drop the client."""
        self._broker.calls.append("close")

    def _noting_doubt(self, call: str, act: Callable[[], None]) -> None:
        try:
            self._broker.through(call, act)
            self._late = self._late or self.disturbed
        except FencedFailure:
            self._open = False  # the broker has aborted it
            raise
        except KafkaFailure as failure:
            self._late = self._late or failure.indefinite
            raise


class FakePlainSink(FakeSink):
    """A producer without transactions: what is acknowledged is visible."""

    def send(self, batch: Outgoing) -> None:
        """Enqueue records."""
        self._broker.through("send", lambda: self._batch.extend(flatten(batch)))

    def flush(self, timeout: float) -> int:
        """Wait for acknowledgements."""
        if left := super().flush(timeout):
            return left
        self._broker.store((each for each in self._batch if not self._broker.refuses(each)), {})
        self._batch = []
        return 0
