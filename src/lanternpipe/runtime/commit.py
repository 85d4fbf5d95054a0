"""How results and offsets become final, and the way that does it exactly once: transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from lanternpipe.errors import (
    AbortableFailure,
    FatalFailure,
    FencedFailure,
    RefusedFailure,
    RetriableFailure,
)
from lanternpipe.ports import Refusal, Source, TransactionalSink
from lanternpipe.records import Outgoing, TopicPartition
from lanternpipe.runtime.watchdog import Deadline

LONG_WAIT = 3  # looks of the watchdog, one a second; an answer usually takes milliseconds
LONG_FREEZE = 3.0  # seconds of standing still in which a supervisor may have found a successor
ABORT_FLUSH_SECONDS = 1.0  # what has no answer by then is not waited for: see `_end`
# What a record comes back with when its producer has been fenced.
FENCED_CODES = frozenset({"INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED", "_FENCED"})
# The code of being cut off by certificates of our own that have been replaced.
OUTDATED = "_OUTDATED"

CutOff: TypeAlias = Callable[[], RefusedFailure | None]


class WorkLostError(Exception):
    """Raised when the work since the last commit is undone and has to be done again.

    Args:
        code: Why, as a Kafka error code.
        refused: Whether the broker refused a record for good, rather than being unwell.
        ask_broker: Whether only the broker knows which offsets are committed.
    """

    def __init__(self, code: str, *, refused: bool = False, ask_broker: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.refused = refused
        self.ask_broker = ask_broker


def refused(refusal: Refusal) -> RefusedFailure:
    """Return the failure for a record that we may not write."""
    text = f"the user may not write {refusal.topic}"
    return RefusedFailure(refusal.code, f"{text}; grant it with `lanternpipe topics apply --acls`")


class Committer(Protocol):
    """Sends outputs and makes them final together with the offsets of their inputs."""

    def start(self) -> None:
        """Get ready; may wait for the broker."""

    def send(self, batch: Outgoing) -> None:
        """Send one batch of the open work.

        Raises:
            WorkLostError: The open work has been undone.
        """

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Make the open work and ``offsets`` final.

        Raises:
            WorkLostError: The open work has been undone.
            FatalFailure: The process must end.
        """

    def abort(self) -> None:
        """Undo the open work."""

    def renew(self) -> None:
        """Replace the client by a new one, for instance with new certificates; nothing is open.

        Raises:
            RefusedFailure: The new one is not let in.
        """

    def serve(self) -> None:
        """Serve what the client has to tell; called when there are no records."""

    def fullness(self) -> float:
        """Return how full the producer's queue is, from 0 to 1."""

    def delivered(self) -> bool:
        """Tell whether readers see all that was sent, before it is committed."""

    def close(self, timeout: float) -> None:
        """Release the producer within ``timeout`` seconds."""


class ExactlyOnce:
    """Outputs, dead letters and input offsets in one Kafka transaction.

    Errors are tried in the order fatal, abortable, retriable. After a call whose outcome was
    unknown for a while, the producer is replaced before the next transaction: with the protocol
    that librdkafka speaks, a late EndTxn could otherwise end that one (KAFKA-17754).

    Args:
        sink: The transactional producer.
        source: Gives the group metadata that fences zombies.
        deadline: Ends the process when a client call hangs (librdkafka#5456).
        id_is_shared: Whether another process could have the same transactional id; if not, being
            fenced only means that the transaction outlived its time-out.
        waiting: Called whenever a call has to be made again.
        cut_off: Returns why the clients that we have may wait in vain; None: they may not.

    Raises:
        RefusedFailure: By all methods that wait, when cut off; what was open has to be undone.
    """

    def __init__(
        self,
        sink: TransactionalSink,
        source: Source,
        *,
        deadline: Deadline,
        id_is_shared: bool,
        waiting: Callable[[str], None],
        cut_off: CutOff = lambda: None,
    ) -> None:
        self._sink = sink
        self._source = source
        self._deadline = deadline
        self._id_is_shared = id_is_shared
        self._waiting = waiting
        self._cut_off = cut_off
        self._open = False
        self._unsure = False
        self._frozen = 0.0  # how long the process had stood still when the id was last surely ours
        self._metadata: object = None

    def start(self) -> None:
        """Initialise the producer, which ends what a predecessor with the same id left open."""
        frozen = self._deadline.frozen  # read before the call: it may stand still within
        try:
            self._until_known(self._sink.init_transactions)
        except (AbortableFailure, FencedFailure) as failure:
            raise FatalFailure(failure.code, f"cannot begin: {failure}") from failure
        self._sink.take_refusal()
        self._sink.take_undelivered()
        self._sink.take_disturbance()
        self._unsure = False
        self._frozen = frozen

    def send(self, batch: Outgoing) -> None:
        """Send within the transaction, opening one if there is none."""
        try:
            self._begin()
            self._sink.send(batch)
        except (AbortableFailure, FencedFailure) as failure:
            self._undo(failure)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the transaction; one that holds offsets alone is opened if there is none."""
        try:
            self._begin()
            self._until_known(lambda: self._sink.send_offsets(offsets, self._metadata))
            frozen = self._deadline.frozen
            self._until_known(self._sink.commit)
        except (AbortableFailure, FencedFailure) as failure:
            self._undo(failure)
        self._open = False
        self._unsure = self._sink.take_disturbance() or self._unsure
        self._frozen = frozen

    def abort(self) -> None:
        """Abort the transaction, if one is open."""
        if self._open:
            self._end()

    def renew(self) -> None:
        """Replace the client, which has no transaction open."""
        self.abort()
        self._renew()

    def serve(self) -> None:
        """Serve the client's events; what they tell matters only while a transaction is open."""
        disturbed = self._sink.take_disturbance()
        self._unsure = self._unsure or (disturbed and self._open)

    def fullness(self) -> float:
        """Return how full the producer's queue is, from 0 to 1."""
        return self._sink.fullness()

    def delivered(self) -> bool:
        """Tell that readers see nothing before it is committed."""
        return False

    def close(self, timeout: float) -> None:
        """Drop the producer; what is still open is aborted by the broker."""
        self._sink.close(timeout)

    def _begin(self) -> None:
        if self._open:
            return
        if self._unsure:
            self._renew()
        self._sink.take_disturbance()  # what happened before does not concern this transaction
        # Taken at begin and kept: metadata taken at commit could let a zombie commit old offsets.
        self._metadata = self._source.group_metadata()
        self._sink.begin()
        self._open = True

    def _undo(self, failure: AbortableFailure | FencedFailure) -> None:
        """Get rid of the transaction, then say that its work is lost."""
        self._unsure = self._sink.take_disturbance() or self._unsure
        certain = not self._unsure
        refusal = None
        if isinstance(failure, FencedFailure):
            self._replace(failure)
            certain = False
        else:
            aborted, refusal = self._end()
            certain = certain and aborted
            if refusal and refusal.no_access:
                raise refused(refusal) from failure
        refusal = refusal or Refusal(failure.code, record_at_fault=False)
        raise WorkLostError(
            refusal.code, refused=refusal.record_at_fault, ask_broker=not certain
        ) from failure

    def _end(self) -> tuple[bool, Refusal | None]:
        """End the transaction without its work.

        Returns whether it certainly was not committed, and the record that was refused.

        Aborted with records under way, the client gives their sequence numbers to the records of
        its next transaction. The broker may have written the old ones: it takes the new ones for
        repeats of them, acknowledges and drops them. So then the client is replaced, whose
        initialisation aborts the transaction, too. It also dies of such aborts (librdkafka#4849).
        """
        try:
            with self._deadline:
                waiting = self._sink.flush(ABORT_FLUSH_SECONDS)
            refusal = self._sink.take_refusal()
            given_up = self._sink.take_undelivered()
            if refusal and refusal.code in FENCED_CODES:
                raise FencedFailure(refusal.code, "producing")  # noqa: TRY301  # as a call tells it
            self._open = False
            if waiting or given_up:
                self._renew()
                return True, refusal
            return self._abort(), refusal
        except FencedFailure as failure:
            self._replace(failure)
            return False, None
        except RefusedFailure:  # such a client is of no use any more
            self._renew()
            return False, None

    def _abort(self) -> bool:
        """Abort; return whether it is certain that this very transaction was aborted."""
        try:
            self._until_known(self._sink.abort)
        except AbortableFailure:
            self._unsure = True
            return False
        finally:
            self._sink.take_refusal()
        # The same answer may come late to the next transaction.
        self._unsure = self._sink.take_disturbance() or self._unsure
        return True

    def _replace(self, failure: FencedFailure) -> None:
        """Replace the producer if it was only late, and end if another has taken over."""
        self._unsure = self._sink.take_disturbance() or self._unsure
        if self._id_is_shared and not self._unsure:
            raise FatalFailure(
                failure.code,
                "another process runs with the same PIPELINE_INSTANCE and has taken over, so this "
                "one ends: give each its own, or set it to nothing. (Or a transform held the "
                "transaction open for longer than PIPELINE_KAFKA__TRANSACTION_TIMEOUT.)",
            ) from failure
        # The transaction outlived its time-out, so the broker has aborted it.
        self._renew()

    def _renew(self) -> None:
        """Replace the client; what it left open is aborted.

        Not by a process that stood still: who has its id by now would be fenced by its return.
        """
        frozen = self._deadline.frozen - self._frozen
        if self._id_is_shared and frozen >= LONG_FREEZE:
            raise FatalFailure(
                "_FENCED",
                f"this process stood still for {frozen:.0f} s, in which another with the same "
                "PIPELINE_INSTANCE may have taken over, so it ends: start it again if there is "
                "none",
            )
        self._open = False
        self._unsure = True  # until it has started: it may be refused
        with self._deadline:
            self._sink.rebuild()
        self.start()

    def _until_known(self, call: Callable[[], None]) -> None:
        """Make a call again for as long as the client says that it may be."""
        while True:
            looks = self._deadline.looks
            try:
                with self._deadline:
                    call()
            except RetriableFailure as failure:
                self._unsure = self._unsure or failure.indefinite
                self._waiting(failure.code)
                if cause := self._cut_off():
                    # Not to be ended by this client, but by the start of the next one.
                    self._open, self._unsure = False, True
                    raise cause from failure
            except FencedFailure:
                # After a long wait the transaction may just as well have expired. Counted in looks,
                # which a zombie's watchdog did not take: it is to give way to its successor.
                self._unsure = self._unsure or self._deadline.looks - looks >= LONG_WAIT
                raise
            else:
                return
