"""Topics that exist for the length of a block, so that a trial touches nobody else's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka.admin import AdminClient

from lanternpipe.errors import KafkaFailure, RetriableFailure
from lanternpipe.kafka.admin import REQUEST_SECONDS, answer
from lanternpipe.kafka.entry import wait_for_broker
from lanternpipe.kafka.topics import DeclaredTopic, apply
from lanternpipe.ports import Log
from lanternpipe.settings import KafkaSettings

READY_SECONDS = 10.0


@contextmanager
def temporary_topics(
    kafka: KafkaSettings,
    declared: Sequence[DeclaredTopic],
    *,
    keep: Sequence[DeclaredTopic] = (),
    log: Log,
    stopping: Callable[[], bool],
) -> Iterator[None]:
    """Create ``declared``; at the end delete them, and the group of ``kafka`` with them.

    Args:
        kafka: The connection; its group must be used by nobody else.
        declared: Topics by names that nobody else uses.
        keep: Topics that are created when missing, and stay.
        log: Writes log lines.
        stopping: Whether to give up waiting.

    Raises:
        KafkaFailure: No broker answers, or it refuses.
    """
    end = time.monotonic() + READY_SECONDS

    admin = wait_for_broker(kafka, log=log, stopping=lambda: stopping() or time.monotonic() > end)
    if admin is None:
        raise RetriableFailure(
            "_ALL_BROKERS_DOWN", f"no broker answers at {kafka.bootstrap_servers}"
        )
    try:
        apply(admin, [*declared, *keep])
        yield
    finally:
        _delete(admin, [topic.name for topic in declared], kafka.group_id, log)


def _delete(admin: AdminClient, topics: list[str], group: str, log: Log) -> None:
    for name, request in (
        *admin.delete_topics(topics, request_timeout=REQUEST_SECONDS).items(),
        *admin.delete_consumer_groups([group], request_timeout=REQUEST_SECONDS).items(),
    ):
        try:
            answer(request, f"deleting {name}")
        except KafkaFailure as failure:
            log("warning", "not_deleted", name=name, text=str(failure))
