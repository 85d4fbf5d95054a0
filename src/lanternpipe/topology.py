"""What a pipeline's topics are called, and how they should exist on the broker. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from lanternpipe.errors import ConfigError
from lanternpipe.kafka.config import ByteLimits
from lanternpipe.kafka.topics import DeclaredTopic
from lanternpipe.pipeline import Pipeline, Topic
from lanternpipe.settings import Settings

DEAD_LETTER_SUFFIX = ".dlq"


class TopicNames(NamedTuple):
    """The topics of one pipeline as they are called on the broker."""

    input: str
    output: str
    dead_letters: str


def topic_names(settings: Settings, pipeline: Pipeline[Any, Any]) -> TopicNames:
    """Return the names in force.

    Raises:
        ConfigError: Two of them are the same.
    """
    source = settings.topics.input or pipeline.input.name
    names = TopicNames(
        source,
        settings.topics.output or pipeline.output.name,
        settings.deadletter.topic or source + DEAD_LETTER_SUFFIX,
    )
    if len(set(names)) < len(names):
        raise ConfigError(
            f"PIPELINE_TOPICS__INPUT={names.input}, PIPELINE_TOPICS__OUTPUT={names.output} and "
            f"PIPELINE_DEADLETTER__TOPIC={names.dead_letters} must differ: a processor that reads "
            "what it writes never ends"
        )
    return names


def from_pipeline(settings: Settings, pipeline: Pipeline[Any, Any]) -> dict[str, object]:
    """Return what the pipeline declares in place of settings that are not given, by variable."""
    names = topic_names(settings, pipeline)
    return {
        "PIPELINE_TOPICS__INPUT": names.input,
        "PIPELINE_TOPICS__OUTPUT": names.output,
        "PIPELINE_TOPICS__PARTITIONS": pipeline.input.partitions,
        "PIPELINE_DEADLETTER__TOPIC": names.dead_letters,
    }


def declared_topics(settings: Settings, pipeline: Pipeline[Any, Any]) -> list[DeclaredTopic]:
    """Return all topics of a pipeline as they should exist."""
    names = topic_names(settings, pipeline)
    replicas = settings.topics.replication_factor

    def declare(name: str, topic: Topic[Any]) -> DeclaredTopic:
        config = {
            "retention.ms": str(topic.retention_hours * 3_600_000),
            "max.message.bytes": str(topic.max_bytes),
            **topic.config,
        }
        count = settings.topics.partitions or topic.partitions
        return DeclaredTopic(name, count, replicas, config)

    dead_letters = DeclaredTopic(
        names.dead_letters,
        settings.topics.partitions or pipeline.input.partitions,
        replicas,
        {
            # The time of the letter, not of the record: an old record's letter would be deleted
            # at once. Letters are kept until a person has decided about them.
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": "-1",
            "max.message.bytes": str(dead_letter_bytes(pipeline)),
        },
    )
    return [
        declare(names.input, pipeline.input),
        declare(names.output, pipeline.output),
        dead_letters,
        *(declare(topic.name, topic) for topic in pipeline.also),
    ]


def dead_letter_bytes(pipeline: Pipeline[Any, Any]) -> int:
    """Return what a dead letter may weigh: the largest input, and as much again for headers."""
    return 2 * pipeline.input.max_bytes


def byte_limits(pipeline: Pipeline[Any, Any]) -> ByteLimits:
    """Return the limits of producers that write to the topics of a pipeline."""
    outputs = [topic.max_bytes for topic in (pipeline.output, *pipeline.also)]
    return ByteLimits(
        record=max(dead_letter_bytes(pipeline), *outputs),
        # Below every topic's own limit, or many small records would be refused as one batch.
        batch=min(pipeline.input.max_bytes, *outputs) // 2,
    )
