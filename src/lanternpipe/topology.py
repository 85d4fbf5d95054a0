"""What a pipeline's topics are called, and how they should exist on the broker. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from lanternpipe.errors import ConfigError
from lanternpipe.kafka.config import ByteLimits
from lanternpipe.kafka.topics import DeclaredTopic
from lanternpipe.pipeline import Pipeline, Topic
from lanternpipe.settings import Settings

DEAD_LETTER_SUFFIX = ".dlq"
MARKS_SUFFIX = ".marks"
REPLAY_SUFFIX = ".replay"
HOP_RETENTION_MS = str(7 * 24 * 3_600_000)
RETRY_INFIX = ".retry."


class TopicNames(NamedTuple):
    """The topics of one pipeline as they are called on the broker.

    Attributes:
        input: Where events come from.
        output: Where results go.
        dead_letters: Where records go that cannot be processed.
        marks: Tells which dead letters have been replayed; compacted.
        replay: Where they are sent back to; read by this group alone.
        retries: Where records wait for their next attempt, by tier; often none.
    """

    input: str
    output: str
    dead_letters: str
    marks: str
    replay: str
    retries: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Every one of them."""
        return *self.sources, self.output, self.dead_letters, self.marks

    @property
    def sources(self) -> tuple[str, ...]:
        """All topics that the processor reads, the input first."""
        return self.input, self.replay, *self.retries


def topic_names(settings: Settings, pipeline: Pipeline[Any, Any]) -> TopicNames:
    """Return the names in force.

    Raises:
        ConfigError: Two of them are the same.
    """
    source = settings.topics.input or pipeline.input.name
    dead_letters = settings.deadletter.topic or source + DEAD_LETTER_SUFFIX
    # Replays are for the group that gave up: a second one has its own dead letters, and so its own.
    own = dead_letters.removesuffix(DEAD_LETTER_SUFFIX)
    retry = settings.retry
    names = TopicNames(
        source,
        settings.topics.output or pipeline.output.name,
        dead_letters,
        dead_letters + MARKS_SUFFIX,
        own + REPLAY_SUFFIX,
        tuple(own + RETRY_INFIX + tier for tier in retry.tiers) if retry.mode == "topics" else (),
    )
    read = set(names.sources)
    written = [
        names.output,
        names.dead_letters,
        names.marks,
        *(each.name for each in pipeline.also),
    ]
    if len(read | set(written)) < len(names.sources) + len(written):
        raise ConfigError(
            f"PIPELINE_TOPICS__INPUT={names.input}, PIPELINE_TOPICS__OUTPUT={names.output} and "
            f"PIPELINE_DEADLETTER__TOPIC={names.dead_letters}, with the topics named after them "
            f"({', '.join((*names.sources[1:], names.marks))}), must differ: a processor that "
            "reads what it writes never ends"
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
    largest = str(dead_letter_bytes(pipeline))
    hop = {
        # As of dead letters: an old record must live as long as a new one.
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": largest,
    }
    # One partition: replays are few, and several topics would upset the balance of the input's.
    replay = DeclaredTopic(names.replay, 1, replicas, {**hop, "retention.ms": HOP_RETENTION_MS})
    marks = DeclaredTopic(names.marks, 1, replicas, {"cleanup.policy": "compact"})
    retries = [
        DeclaredTopic(
            name,
            dead_letters.partitions,
            replicas,
            {**hop, "retention.ms": str(int(HOP_RETENTION_MS) + 2_000 * wait)},
        )
        for name, wait in zip(names.retries, settings.retry.delays(), strict=False)
    ]
    return [
        declare(names.input, pipeline.input),
        declare(names.output, pipeline.output),
        dead_letters,
        marks,
        replay,
        *retries,
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
