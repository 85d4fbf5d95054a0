"""What a pipeline's topics are called, and how they should exist."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct

from lanternpipe.errors import ConfigError
from lanternpipe.pipeline import Pipeline, Topic
from lanternpipe.settings import DeadLetterSettings, RetrySettings, Settings, TopicSettings
from lanternpipe.topology import byte_limits, dead_letter_bytes, declared_topics, topic_names
from logins.pipeline import pipeline as logins


class Note(Struct):
    """A line of text."""

    text: str


NOTES = Topic("notes", Note, partitions=2, retention_hours=1)


def notes(**parts: Any) -> Pipeline[Any, Any]:
    """Return a pipeline from notes to notes."""
    given = {"input": NOTES, "output": Topic("copies", Note), "samples": None, **parts}
    return Pipeline(transform=lambda note, _: note, **given)


def test_topics_are_called_as_declared() -> None:
    """By default names are those of the pipeline, and dead letters follow the input."""
    names = topic_names(Settings(), logins)
    assert (names.input, names.output, names.dead_letters) == (
        "user-login",
        "processed-user-login",
        "user-login.dlq",
    )


def test_topics_may_be_called_otherwise() -> None:
    """An operator may give each topic another name."""
    settings = Settings(topics=TopicSettings(input="in", output="out"))
    names = topic_names(settings, logins)
    assert (names.input, names.output, names.dead_letters) == ("in", "out", "in.dlq")
    settings = Settings(deadletter=DeadLetterSettings(topic="lost"))
    assert topic_names(settings, logins).dead_letters == "lost"


def test_topics_as_they_should_exist() -> None:
    """Every topic that the pipeline writes or reads is declared, with its settings."""
    extra = Topic("extra", Note, partitions=7, max_bytes=99, config={"cleanup.policy": "compact"})
    found = {each.name: each for each in declared_topics(Settings(), notes(also=(extra,)))}
    assert list(found) == [
        "notes",
        "copies",
        "notes.dlq",
        "notes.dlq.marks",
        "notes.replay",
        "extra",
    ]
    assert found["notes"].partitions == 2
    assert found["notes"].config["retention.ms"] == "3600000"
    assert found["extra"].config == {
        "retention.ms": "604800000",
        "max.message.bytes": "99",
        "cleanup.policy": "compact",
    }
    assert found["notes.dlq"].config["message.timestamp.type"] == "LogAppendTime"
    assert found["notes.dlq"].config["retention.ms"] == "-1"
    assert found["notes.dlq"].partitions == 2


def test_the_layout_may_be_set() -> None:
    """Partitions and replicas of all topics may be set by the operator."""
    settings = Settings(topics=TopicSettings(partitions=5, replication_factor=3))
    assert {
        (each.name, each.partitions, each.replication_factor)
        for each in declared_topics(settings, notes())
    } == {
        ("notes", 5, 3),
        ("copies", 5, 3),
        ("notes.dlq", 5, 3),
        # One is enough, and disturbs the balance of the others least.
        ("notes.dlq.marks", 1, 3),
        ("notes.replay", 1, 3),
    }


@pytest.mark.parametrize("output", ["user-login.replay", "user-login.dlq.marks", "user-login"])
def test_nothing_is_read_that_is_written(output: str) -> None:
    """An output must be none of the topics that the processor reads, nor hold its marks."""
    with pytest.raises(ConfigError, match="must differ"):
        topic_names(Settings(topics=TopicSettings(output=output)), logins)


def test_topics_around_the_dead_letters() -> None:
    """Each group has its own, named after its dead letters; retry topics only where asked for."""
    names = topic_names(Settings(), logins)
    assert (names.marks, names.replay) == ("user-login.dlq.marks", "user-login.replay")
    assert names.sources == ("user-login", "user-login.replay")
    other = Settings(
        deadletter=DeadLetterSettings(topic="audit.dlq"),
        retry=RetrySettings(mode="topics", tiers=("5s", "2h")),
    )
    names = topic_names(other, logins)
    assert names.sources == ("user-login", "audit.replay", "audit.retry.5s", "audit.retry.2h")
    retries = [each for each in declared_topics(other, logins) if each.name in names.retries]
    assert {each.config["message.timestamp.type"] for each in retries} == {"LogAppendTime"}
    assert {each.partitions for each in retries} == {6}


@pytest.mark.parametrize(
    ("topics", "letters"),
    [
        ({"input": "x", "output": "x"}, None),
        ({"output": "user-login.dlq"}, None),
        ({"input": "x"}, "x"),
    ],
)
def test_no_topic_may_be_another(topics: dict[str, str], letters: str | None) -> None:
    """A processor that reads what it writes never ends, so that is refused by name."""
    settings = Settings(
        topics=TopicSettings(**topics), deadletter=DeadLetterSettings(topic=letters)
    )
    with pytest.raises(ConfigError, match=r"PIPELINE_TOPICS__INPUT=.*must differ"):
        topic_names(settings, logins)


def test_every_letter_fits_into_its_topic() -> None:
    """A dead letter may weigh more than the largest input, as it has headers of ours."""
    declared = {each.name: each for each in declared_topics(Settings(), notes())}
    largest = dead_letter_bytes(notes())
    assert declared["notes.dlq"].config["max.message.bytes"] == str(largest)
    assert largest > NOTES.max_bytes


def test_producers_send_what_topics_take() -> None:
    """A single record may be as large as any topic takes, a batch as small as all topics take."""
    wide = Topic("wide", Note, max_bytes=50_000_000)
    narrow = Topic("narrow", Note, max_bytes=10_000)
    limits = byte_limits(notes(also=(wide, narrow)))
    assert limits.record == wide.max_bytes
    assert limits.batch < narrow.max_bytes
    assert byte_limits(notes()).record == dead_letter_bytes(notes())
