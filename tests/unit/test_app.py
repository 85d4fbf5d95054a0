"""The composition root, as far as it needs no broker."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec import Struct

from lanternpipe.app import load_pipeline
from lanternpipe.assembly import build_processor
from lanternpipe.errors import ConfigError, LanternpipeError
from lanternpipe.pipeline import Topic
from lanternpipe.produce import events_of_lines
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.acknowledged import AtLeastOnce
from lanternpipe.runtime.commit import ExactlyOnce
from lanternpipe.settings import KafkaSettings, Settings
from lanternpipe.testing.doubles import LogBook
from logins.pipeline import pipeline as logins

AWAY = KafkaSettings(bootstrap_servers="127.0.0.1:1")


class Note(Struct):
    """A line of text."""

    text: str


NOTES = Topic("notes", Note)


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
        told = {sample.metric.name: sample.value for sample in app.samples()}
        assert told["messaging_client_consumed_messages"] == 0
        assert told["pipeline_ledger_unaccounted_records"] == 0
        assert app.health.live().ok
        assert not app.health.ready().ok
    finally:
        app.committer.close(0.0)
