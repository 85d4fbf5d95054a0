"""``lanternpipe dlq replay``: letters go back to be processed, each once, whatever happens."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import NoReturn

from lanternpipe.errors import (
    AbortableFailure,
    FatalFailure,
    FencedFailure,
    KafkaFailure,
    RetriableFailure,
)
from lanternpipe.letter import Letter
from lanternpipe.ops.mailbox import Mailbox
from lanternpipe.ops.marks import Mark, Marks, marks_to_write
from lanternpipe.ops.mending import Mend, mended
from lanternpipe.ops.replay_plan import (
    LEFT_ALONE,
    Order,
    Ready,
    batches,
    obstacle,
    records_to_write,
    replays_of,
)
from lanternpipe.ports import Log, Refusal, TransactionalSink

FLUSH_SECONDS = 1.0
INIT_SECONDS = 60.0  # a broker may take as long to let go of what a predecessor left open
AGAIN = "Run the same command again: it goes on exactly where this one ended"


@dataclass(slots=True)
class Tally:
    """What has become of letters so far.

    Attributes:
        replayed: How many have been replayed, or would be by a dry run.
        skipped: How many have not, by why.
        seconds: How long it has taken.
    """

    replayed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def as_json(self, *, dry: bool) -> dict[str, object]:
        """Return the counts for programs; a dry run has replayed nothing."""
        return {
            "replayed": 0 if dry else self.replayed,
            **({"would_replay": self.replayed} if dry else {}),
            "skipped": self.skipped.total(),
            "skipped_by_reason": dict(self.skipped.most_common()),
            "seconds": round(self.seconds, 3),
        }

    def lines(self, to: str, *, dry: bool) -> Iterator[str]:
        """Yield the counts for people."""
        verb = "would be replayed" if dry else "replayed"
        yield f"{self.replayed:,} letters {verb} to {to}"
        if self.skipped:
            each = ", ".join(f"{count:,} {why}" for why, count in self.skipped.most_common())
            yield f"{self.skipped.total():,} skipped: {each}"


class Replayer:
    """Replays letters: each and its mark in one transaction.

    Begins by taking over the transactional id, which ends what a killed run left open and fences
    one that still runs. Only then are the marks read: from there on nobody else writes any. So a
    letter without mark has not been replayed, and a run that ended anyhow is simply run again. At
    any trouble but a call that may be made again it ends, for that reason.

    Args:
        box: The letters and their marks.
        marks: The topic of the marks.
        sink: Writes; None for a dry run.
        order: What was asked for.
        run: Identifies this run in marks and log.
        log: Writes log lines.
        mend: Changes values on the way.
        progress: Told of the counts after each transaction.
        now: Seconds since 1970.
        clock: Monotonic seconds.
        sleep: Waits.
    """

    def __init__(
        self,
        box: Mailbox,
        marks: str,
        sink: TransactionalSink | None,
        order: Order,
        *,
        run: str,
        log: Log,
        mend: Mend | None = None,
        progress: Callable[[Tally], None] = lambda _: None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.tally = Tally()
        self._box = box
        self._marks = marks
        self._sink = sink
        self._order = order
        self._run = run
        self._log = log
        self._mend = mend
        self._progress = progress
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._unsure = False  # whether a late answer to the last commit may still be under way

    def run(self) -> Tally:
        """Replay what is there at the start; return the counts.

        Raises:
            LanternpipeError: It cannot go on; what it has done until then holds.
        """
        began = self._clock()
        outcome = "failed"
        try:
            self._replay(began)
            outcome = "finished"
        finally:
            self.tally.seconds = self._clock() - began
            self._log(
                "info",
                "letters_replayed",
                run=self._run,
                letters=self._box.topic,
                to=self._order.to,
                filters=str(self._order.filters),
                again=self._order.again,
                dry_run=self._order.dry,
                mended=self._mend is not None,
                outcome=outcome,
                **self.tally.as_json(dry=self._order.dry),
            )
        return self.tally

    def _replay(self, began: float) -> None:
        order = self._order
        if self._sink is not None:
            self._start(self._sink)
        marks = self._box.marks()
        first = self._clock()
        with closing(self._ready(marks)) as ready:
            for batch in batches(islice(ready, order.most), order.at_once):
                if self._sink is not None:
                    self._keep_to_rate(first)
                    self._publish(self._sink, batch)
                self.tally.replayed += len(batch)
                self.tally.seconds = self._clock() - began
                self._progress(self.tally)

    def _ready(self, marks: Marks) -> Generator[Ready, None, None]:
        """Yield the letters that are to be replayed, and count those that are not."""
        with closing(self._box.letters(self._order.filters)) as letters:
            for letter in letters:
                mark = marks.of(letter)
                reason = obstacle(letter, mark, self._order)
                value = letter.value
                if reason is None and self._mend is not None:
                    value = mended(self._mend, letter)
                    reason = LEFT_ALONE if value is None else None
                if reason is None:
                    yield Ready(letter, value, replays_of(letter, mark) + 1)
                else:
                    self.tally.skipped[reason] += 1

    def _keep_to_rate(self, first: float) -> None:
        """Wait until the next letters are due; no transaction is open meanwhile."""
        if self._order.rate is not None:
            due = first + self.tally.replayed / self._order.rate
            if (wait := due - self._clock()) > 0:
                self._sleep(wait)

    def _start(self, sink: TransactionalSink) -> None:
        deadline = self._clock() + INIT_SECONDS
        while True:
            try:
                sink.init_transactions()
            except RetriableFailure as failure:
                if self._clock() >= deadline:
                    raise
                self._log("warning", "waiting_for_broker", code=failure.code)
            except (AbortableFailure, FencedFailure) as failure:
                raise FatalFailure(failure.code, f"cannot begin: {failure}. {AGAIN}") from failure
            else:
                return

    def _publish(self, sink: TransactionalSink, batch: list[Ready]) -> None:
        """Write records and their marks in one transaction.

        Raises:
            KafkaFailure: Nothing of it has been written.
        """
        if self._unsure:
            # With the protocol that librdkafka speaks, that answer could end the next transaction
            # (KAFKA-17754). A new run has a new epoch, and reads the marks anew.
            text = "the connection was lost during a commit, which has been carried out"
            raise AbortableFailure("_TRANSPORT", f"{text}. {AGAIN}")
        now = round(self._now() * 1_000)
        letters = [each.letter for each in batch]
        marks = [
            Mark(now, self._order.to, self._run, each.replays, each.letter.timestamp)
            for each in batch
        ]
        sink.take_disturbance()  # what happened before does not concern this transaction
        try:
            sink.begin()
            sink.send(records_to_write(self._order.to, batch))
            sink.send(marks_to_write(self._marks, letters, marks))
            self._commit(sink)
        except FencedFailure as failure:
            raise FatalFailure(
                failure.code,
                "another `dlq replay` of the same group has begun and taken over, so this one ends "
                "(or it stood still for longer than PIPELINE_KAFKA__TRANSACTION_TIMEOUT). What is "
                "left to do is the other's; if there is none, run the command again",
            ) from failure
        except KafkaFailure as failure:
            self._give_up(sink, failure, letters)
        except BaseException:  # an interrupt: nobody should have to wait for the time-out
            undo(sink)
            raise
        self._unsure = sink.take_disturbance() or self._unsure

    def _commit(self, sink: TransactionalSink) -> None:
        """Commit, asking until the outcome is known."""
        while True:
            try:
                sink.commit()
            except RetriableFailure as failure:
                self._unsure = self._unsure or failure.indefinite
                self._log("warning", "waiting_for_broker", code=failure.code)
            else:
                return

    def _give_up(
        self, sink: TransactionalSink, failure: KafkaFailure, letters: list[Letter]
    ) -> NoReturn:
        """Undo the open transaction and say so."""
        refusal = undo(sink) or sink.take_refusal()
        if refusal is not None and refusal.record_at_fault:
            raise FatalFailure(
                refusal.code,
                f"{self._order.to} takes a record not as it is, one of those from "
                f"{letters[0].place} to {letters[-1].place}; none of them was written. Leave it "
                "out by --reason, --since or --mend; with PIPELINE_BATCH_RECORDS=1 it is the one "
                "that is named",
            ) from failure
        code = refusal.code if refusal else failure.code
        text = f"{failure}; the open transaction was undone. {AGAIN}"
        raise AbortableFailure(code, text) from failure


def undo(sink: TransactionalSink) -> Refusal | None:
    """End the open transaction, as well as it goes: else the broker does after its time-out.

    Returns the record that was refused. With records under way the client is replaced, since it
    dies of an abort (librdkafka#4849); the initialisation of the new one aborts, too.
    """
    refusal = None
    with suppress(KafkaFailure):
        waiting = sink.flush(FLUSH_SECONDS)
        refusal = sink.take_refusal()
        if waiting or sink.take_undelivered():
            sink.rebuild()
            sink.init_transactions()
        else:
            sink.abort()
    return refusal
