"""The composition root, as far as it needs no broker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from msgspec import Struct

from lanternpipe.app import (
    build_processor,
    declared_topics,
    events_of_lines,
    load_pipeline,
    topic_names,
)
from lanternpipe.errors import ConfigError, LanternpipeError
from lanternpipe.pipeline import Pipeline, Topic
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.commit import AtLeastOnce, ExactlyOnce
from lanternpipe.settings import (
    DeadLetterSettings,
    KafkaSettings,
    Settings,
    TopicSettings,
)
from lanternpipe.telemetry.metrics import Snapshot
from logins.pipeline import pipeline as logins
from tests.fakes import LogBook

AWAY = KafkaSettings(bootstrap_servers="127.0.0.1:1")


class Note(Struct):
    """A line of text."""

    text: str


NOTES = Topic("notes", Note, key=lambda note: note.text, partitions=2, retention_hours=1)


def notes(**parts: Any) -> Pipeline[Any, Any]:
    """Return a pipeline from notes to notes."""
    given = {"input": NOTES, "output": Topic("copies", Note), "samples": None, **parts}
    return Pipeline(transform=lambda note, _: note, **given)


class NoEnds:
    """Knows nothing."""

    def last_stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return nothing."""
        return {}


@pytest.mark.parametrize("name", ["logins", "logins.pipeline:pipeline"])
def test_a_pipeline_is_loaded_by_name(name: str) -> None:
    """A package, or a module and a name in it, leads to the user's pipeline."""
    assert load_pipeline(name) is logins


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_app", "'no_such_app' has no pipeline"),
        ("logins:nothing", "'logins:nothing' has no pipeline"),
        ("json", "'json' has no pipeline"),
        ("json:dumps", "json.dumps is not a lanternpipe.Pipeline"),
    ],
)
def test_what_is_no_pipeline_names_the_variable(name: str, says: str) -> None:
    """A name that leads nowhere, or to something else, is told with its variable."""
    with pytest.raises(ConfigError) as caught:
        load_pipeline(name)
    assert str(caught.value).startswith("PIPELINE_APP: ")
    assert says in str(caught.value)


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
    assert list(found) == ["notes", "copies", "notes.dlq", "extra"]
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
        (each.partitions, each.replication_factor) for each in declared_topics(settings, notes())
    } == {(5, 3)}


def test_lines_become_events() -> None:
    """Lines of JSON are events, blank ones are passed over."""
    lines = [b'{"text": "a"}\n', b"\n", b'{"text": "b", "more": 1}']
    assert list(events_of_lines(lines, NOTES)) == [Note("a"), Note("b")]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"nonsense", "line 3 is no Note: undecodable; the lines before it were sent"),
        (b"{}", "line 3 is no Note: invalid, field text: required; the lines before it were sent"),
    ],
)
def test_a_line_that_is_no_event_is_told_by_its_number(line: bytes, says: str) -> None:
    """The first line that is no event is told, with why, after the ones before it."""
    found = events_of_lines([b'{"text": "a"}', b"", line], NOTES)
    assert next(found) == Note("a")
    with pytest.raises(LanternpipeError) as caught:
        next(found)
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("delivery", "kind"), [("exactly-once", ExactlyOnce), ("at-least-once", AtLeastOnce)]
)
def test_a_processor_is_built_without_a_broker(delivery: str, kind: type) -> None:
    """Building connects to nothing; how work becomes final follows the setting."""
    settings = Settings(kafka=AWAY, delivery=delivery)
    app = build_processor(settings, logins, LogBook(), ends=NoEnds())
    try:
        assert isinstance(app.committer, kind)
        assert app.snapshot() == Snapshot()
        assert app.health.live().ok
        assert not app.health.ready().ok
    finally:
        app.committer.close(0.0)
