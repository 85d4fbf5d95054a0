"""Groups, as far as the broker knows: who has committed offsets on a topic, and who is in one."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka.admin import AdminClient

from lanternpipe.errors import FatalFailure, KafkaFailure, RefusedFailure
from lanternpipe.kafka.admin import (
    REQUEST_SECONDS,
    answer,
    describe_partitions,
    group_offsets,
    open_admin,
)
from lanternpipe.kafka.config import client_config
from lanternpipe.ports import Log
from lanternpipe.records import TopicPartition
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
        except (
            FatalFailure,
            RefusedFailure,
        ):  # a kind of group that commits no offsets, or one that we may not see
            continue
        if any(offset is not None for offset in offsets.values()):
            found.append(group)
    return found


class Members(NamedTuple):
    """Who is in a group.

    Attributes:
        number: How many it has.
        partitions: What they have been given.
    """

    number: int
    partitions: frozenset[TopicPartition]


def members_of(admin: AdminClient, group: str) -> Members:
    """Return who is in a group; nobody where there is no such group.

    Raises:
        KafkaFailure: The broker did not answer.
    """
    (future,) = admin.describe_consumer_groups([group], request_timeout=REQUEST_SECONDS).values()
    try:
        members = answer(future, f"describing group {group}").members
    except KafkaFailure as failure:
        if failure.code == "GROUP_ID_NOT_FOUND":
            return Members(0, frozenset())
        raise
    return Members(
        len(members),
        frozenset(
            TopicPartition(at.topic, at.partition)
            for member in members
            for at in member.assignment.topic_partitions
        ),
    )
