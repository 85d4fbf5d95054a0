"""At least once: offsets are committed after every output has been acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lanternpipe.errors import AbortableFailure, FatalFailure, FencedFailure, RetriableFailure
from lanternpipe.ports import Refusal, Sink, Source
from lanternpipe.records import Outgoing, TopicPartition
from lanternpipe.runtime.commit import CutOff, WorkLostError, refused
from lanternpipe.runtime.watchdog import Deadline

FLUSH_SECONDS = 30.0


class AtLeastOnce:
    """Offsets are committed once every output of their records has been acknowledged.

    Args:
        sink: The producer.
        source: Commits the offsets.
        deadline: Ends the process when a client call hangs.
        waiting: Called whenever the broker has to be waited for.
        cut_off: Returns why the clients that we have may wait in vain; None: they may not.

    Raises:
        RefusedFailure: By all methods that wait, when cut off.
    """

    def __init__(
        self,
        sink: Sink,
        source: Source,
        *,
        deadline: Deadline,
        waiting: Callable[[str], None],
        cut_off: CutOff = lambda: None,
    ) -> None:
        self._sink = sink
        self._source = source
        self._deadline = deadline
        self._waiting = waiting
        self._cut_off = cut_off

    def start(self) -> None:
        """Nothing is to be prepared."""

    def send(self, batch: Outgoing) -> None:
        """Send at once; acknowledgements are awaited by ``commit``."""
        try:
            self._sink.send(batch)
        except AbortableFailure as failure:
            self._flush()
            refusal = self._sink.take_refusal() or Refusal(failure.code, record_at_fault=False)
            raise WorkLostError(refusal.code, refused=refusal.record_at_fault) from failure

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Wait for all acknowledgements, then commit the offsets."""
        while self._flush() > 0:
            self._wait("_TIMED_OUT")
        if refusal := self._sink.take_refusal():
            if refusal.no_access:
                raise refused(refusal)
            raise WorkLostError(refusal.code, refused=refusal.record_at_fault)
        while True:
            try:
                with self._deadline:
                    self._source.commit(offsets)
            except RetriableFailure as failure:
                self._wait(failure.code)
            except AbortableFailure as failure:
                raise WorkLostError(failure.code) from failure
            except FencedFailure as failure:
                raise FatalFailure(
                    failure.code, "another process runs with the same PIPELINE_INSTANCE"
                ) from failure
            else:
                return

    def abort(self) -> None:
        """Let what was sent arrive: it cannot be taken back, and will be sent again."""
        self._flush()
        self._sink.take_refusal()

    def renew(self) -> None:
        """Replace the client; of what has not arrived nothing is committed."""
        self._flush()
        self._sink.rebuild()

    def serve(self) -> None:
        """Serve the client's events."""
        self._sink.take_disturbance()

    def fullness(self) -> float:
        """Return how full the producer's queue is, from 0 to 1."""
        return self._sink.fullness()

    def delivered(self) -> bool:
        """Tell whether nothing is on its way."""
        return self._sink.fullness() == 0

    def close(self, timeout: float) -> None:
        """Wait for acknowledgements up to ``timeout`` seconds, then drop the producer."""
        self._sink.close(timeout)

    def _wait(self, code: str) -> None:
        self._waiting(code)
        if cause := self._cut_off():
            raise cause

    def _flush(self) -> int:
        with self._deadline:
            return self._sink.flush(FLUSH_SECONDS)
