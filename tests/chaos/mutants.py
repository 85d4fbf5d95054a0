"""Deliberate bugs: ``python -m tests.chaos.mutants NAME`` is ``lanternpipe process`` with one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from lanternpipe.cli import main
from lanternpipe.errors import AbortableFailure, FencedFailure
from lanternpipe.kafka.config import Config
from lanternpipe.kafka.consumer import RecordConsumer
from lanternpipe.kafka.producer import RecordProducer, TransactionalProducer
from lanternpipe.records import Outgoing, TopicPartition
from lanternpipe.runtime.commit import ExactlyOnce, WorkLostError
from lanternpipe.runtime.rebalance import Rebalance
from lanternpipe.runtime.work import Work

Offsets = Mapping[TopicPartition, int]
DEAD_LETTERS = ".dlq"


def replaced(owner: Any, name: str) -> Callable[[Callable[..., Any]], None]:
    """Put a function into the place of a method, with the method as its first argument."""

    def put(function: Callable[..., Any]) -> None:
        method = getattr(owner, name)
        setattr(owner, name, lambda *given, **named: function(method, *given, **named))

    return put


def commit_before_produce() -> None:
    """Offsets are committed by themselves, before the transaction with the outputs."""

    @replaced(ExactlyOnce, "commit")
    def commit(_: Any, self: ExactlyOnce, offsets: Offsets) -> None:
        apart(self, lambda: offsets_alone(self, offsets), self._sink.commit)


def late_commit() -> None:
    """Offsets are committed by themselves, after the transaction with the outputs."""

    @replaced(ExactlyOnce, "commit")
    def commit(_: Any, self: ExactlyOnce, offsets: Offsets) -> None:
        apart(self, self._sink.commit, lambda: offsets_alone(self, offsets))


def apart(committer: ExactlyOnce, *calls: Callable[[], None]) -> None:
    """Commit outputs and offsets by two calls, with the care for errors that one would have."""
    try:
        committer._begin()
        for call in calls:
            committer._until_known(call)
    except (AbortableFailure, FencedFailure) as failure:
        committer._undo(failure)
    committer._open = False


def offsets_alone(committer: ExactlyOnce, offsets: Offsets) -> None:
    """Commit offsets outside of the transaction."""
    committer._source.commit(offsets)


def dead_letter_outside() -> None:
    """Dead letters go by a producer of their own, outside of the transaction."""
    beside: list[RecordProducer] = []

    @replaced(TransactionalProducer, "send")
    def send(method: Any, self: TransactionalProducer, batch: Outgoing) -> None:
        if not batch.topic.endswith(DEAD_LETTERS):
            method(self, batch)
            return
        if not beside:
            config: Config = {
                key: value
                for key, value in self._config.items()
                if not key.startswith("transaction")
            }
            beside.append(RecordProducer(config, log=lambda *_, **__: None))
        beside[0].send(batch)
        beside[0].flush(10)


def offsets_of_position() -> None:
    """What is committed is what the client says of its position, for what it says it owns."""

    @replaced(ExactlyOnce, "commit")
    def commit(method: Any, self: ExactlyOnce, offsets: Offsets) -> None:
        client = self._source._consumer  # type: ignore[attr-defined]
        places = client.position(client.assignment())
        told = {TopicPartition(at.topic, at.partition): at.offset for at in places}
        method(self, {at: offset for at, offset in told.items() if offset >= 0})


def metadata_at_commit() -> None:
    """The member's place in the group is asked for at the end of a transaction."""

    @replaced(ExactlyOnce, "commit")
    def commit(method: Any, self: ExactlyOnce, offsets: Offsets) -> None:
        self._begin()
        self._metadata = self._source.group_metadata()
        method(self, offsets)


def no_abort_on_loss() -> None:
    """What is open when partitions are lost stays open, and is committed with the rest."""

    @replaced(Rebalance, "on_lost")
    def on_lost(_: Any, self: Rebalance, partitions: Iterable[TopicPartition]) -> None:
        partitions = list(partitions)
        self._work.let_go(partitions)
        self._log("warning", "partitions_lost", partitions=[*map(str, partitions)])


def no_care_for_loss() -> None:
    """Both: no abort when partitions are lost, and a fresh place in the group at commit."""
    no_abort_on_loss()
    metadata_at_commit()


def no_commit_on_revoke() -> None:
    """What is open when partitions are given up is committed later, without their offsets."""

    @replaced(Rebalance, "on_revoked")
    def on_revoked(_: Any, self: Rebalance, partitions: Iterable[TopicPartition]) -> None:
        partitions = list(partitions)
        self._work.let_go(partitions)
        self._log("info", "partitions_revoked", partitions=[*map(str, partitions)])


def no_care_for_revoke() -> None:
    """Both: no commit when partitions are given up, and a fresh place in the group at commit."""
    no_commit_on_revoke()
    metadata_at_commit()


def no_rebuild_after_doubt() -> None:
    """The client is kept, though a late answer could end its next transaction."""

    @replaced(ExactlyOnce, "_begin")
    def begin(method: Any, self: ExactlyOnce) -> None:
        self._unsure = False
        method(self)


def no_rewind() -> None:
    """Work that was undone is not done again."""

    @replaced(Work, "undo")
    def undo(method: Any, self: Work, lost: WorkLostError) -> None:
        before = {at: each.next for at, each in self.positions.snapshot().items()}
        method(self, lost)
        self._steering._seeks.clear()
        for at, offset in before.items():
            self.positions._by_partition[at].next = offset


def dead_letters_dropped() -> None:
    """What cannot be processed is thrown away."""

    @replaced(TransactionalProducer, "send")
    def send(method: Any, self: TransactionalProducer, batch: Outgoing) -> None:
        if not batch.topic.endswith(DEAD_LETTERS):
            method(self, batch)


def order_turned() -> None:
    """A batch is written from its end to its beginning."""

    @replaced(TransactionalProducer, "send")
    def send(method: Any, self: TransactionalProducer, batch: Outgoing) -> None:
        turned = {name: getattr(batch, name)[::-1] for name in ("keys", "values", "timestamps")}
        headers = None if batch.headers is None else batch.headers[::-1]
        method(self, replace(batch, **turned, headers=headers))


def start_at_the_end() -> None:
    """A partition that is taken over is read from its end on."""

    @replaced(RecordConsumer, "subscribe")
    def subscribe(method: Any, self: RecordConsumer, listener: Any) -> None:
        assigned = listener.on_assigned

        def on_assigned(partitions: Iterable[TopicPartition]) -> None:
            partitions = list(partitions)
            assigned(partitions)
            for at, end in self._ends.last_stable(partitions).items():
                listener._work._steering.move({at: end})

        listener.on_assigned = on_assigned
        method(self, listener)


def without_transactions() -> None:
    """The promise is exactly once, and the delivery at least once."""
    os.environ["PIPELINE_DELIVERY"] = "at-least-once"


MUTANTS: dict[str, Callable[[], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        commit_before_produce,
        late_commit,
        dead_letter_outside,
        offsets_of_position,
        metadata_at_commit,
        no_abort_on_loss,
        no_care_for_loss,
        no_commit_on_revoke,
        no_care_for_revoke,
        no_rebuild_after_doubt,
        no_rewind,
        dead_letters_dropped,
        order_turned,
        start_at_the_end,
        without_transactions,
    )
}

if __name__ == "__main__":
    MUTANTS[sys.argv[1]]()
    sys.exit(main(["process"]))
