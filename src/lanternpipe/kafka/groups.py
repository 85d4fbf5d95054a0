"""Who reads a topic, as far as the broker knows: groups that have committed offsets on it."""

from __future__ import annotations

from lanternpipe.errors import FatalFailure
from lanternpipe.kafka.admin import (
    REQUEST_SECONDS,
    answer,
    describe_partitions,
    group_offsets,
    open_admin,
)
from lanternpipe.kafka.config import client_config
from lanternpipe.ports import Log
from lanternpipe.settings import KafkaSettings


def groups_on(kafka: KafkaSettings, topic: str, *, log: Log) -> list[str]:
    """Return the groups, other than our own, that have committed offsets on a topic.

    Raises:
        KafkaFailure: The broker did not answer.
    """
    config = client_config(kafka)
    admin = open_admin(config, log=log)
    partitions = describe_partitions(admin, topic)
    listed = answer(
        admin.list_consumer_groups(request_timeout=REQUEST_SECONDS), "listing consumer groups"
    )
    found = []
    for group in sorted(each.group_id for each in listed.valid or ()):
        if group == kafka.group_id:
            continue
        try:
            offsets = group_offsets(config, group, partitions, log=log)
        except FatalFailure:  # a kind of group that commits no offsets, or one that we may not see
            continue
        if any(offset is not None for offset in offsets.values()):
            found.append(group)
    return found
