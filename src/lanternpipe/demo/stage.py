"""Where a demo or a load plays: a broker in memory, or topics of its own on a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from lanternpipe.kafka.embedded import embedded_broker, embedded_settings
from lanternpipe.kafka.temporary import temporary_topics
from lanternpipe.pipeline import Pipeline
from lanternpipe.ports import Log
from lanternpipe.settings import Settings
from lanternpipe.topology import TopicNames, declared_topics, topic_names


class Stage(NamedTuple):
    """A broker on which nobody else uses the pipeline's topics and group.

    Attributes:
        settings: To be used instead of those given.
        names: The topics.
        where: The broker, for people.
        remark: What people should know about it.
    """

    settings: Settings
    names: TopicNames
    where: str
    remark: str


@contextmanager
def embedded(settings: Settings, pipeline: Pipeline[Any, Any], *, log: Log) -> Iterator[Stage]:
    """Play on a broker within this process."""
    names = topic_names(settings, pipeline)
    topics = [topic.name for topic in declared_topics(settings, pipeline)]
    with embedded_broker(topics, log=log) as address:
        kafka = embedded_settings(settings.kafka, address)
        yield Stage(
            _alone(settings, kafka=kafka),
            names,
            "a broker in memory",
            "within this process: nothing is left behind",
        )


@contextmanager
def on_broker(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    *,
    broker: str,
    name: str,
    log: Log,
    stopping: Callable[[], bool],
) -> Iterator[Stage]:
    """Play on a real broker, with topics and a group that are made for it and deleted after it.

    On the pipeline's own topics, records of others would be counted, a processor that runs there
    already would write every event a second time, and made-up users would be left in real topics.

    Args:
        settings: What is in force.
        pipeline: The user's.
        broker: Its address.
        name: Tells this run from all others; topics and group end with it.
        log: Writes log lines.
        stopping: Whether to give up waiting for the broker.
    """
    suffix = f".{name}"
    usual = topic_names(settings, pipeline)
    settings = _alone(
        settings,
        kafka=settings.kafka.model_copy(
            update={
                "bootstrap_servers": broker,
                "group_id": settings.kafka.group_id + suffix,
                "static_membership": False,
            }
        ),
        topics=settings.topics.model_copy(
            update={"input": usual.input + suffix, "output": usual.output + suffix}
        ),
        deadletter=settings.deadletter.model_copy(update={"topic": usual.dead_letters + suffix}),
    )
    names = topic_names(settings, pipeline)
    declared = declared_topics(settings, pipeline)
    with temporary_topics(
        settings.kafka,
        [topic for topic in declared if topic.name in names.all],
        keep=[topic for topic in declared if topic.name not in names.all],
        log=log,
        stopping=stopping,
    ):
        yield Stage(settings, names, broker, f"{settings.delivery}; its topics go with it")


def _alone(settings: Settings, **changes: object) -> Settings:
    """Return settings for a group that has no past and no other members."""
    return settings.model_copy(update={"instance": None, "start": "earliest", **changes})
