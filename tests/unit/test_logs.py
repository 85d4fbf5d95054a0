"""Log lines: JSON for programs, readable for people."""

from __future__ import annotations

import io
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from lanternpipe.ports import Log
from lanternpipe.settings import LogSettings
from lanternpipe.telemetry.logs import open_log


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def opened(stream: io.StringIO, **settings: Any) -> Log:
    """Open a log that writes to the stream."""
    return open_log(LogSettings(**settings), service="tests", stream=stream)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the JSON lines that were written."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object() -> None:
    """A line has event, level, service, time and its fields, whatever they hold."""
    stream = io.StringIO()
    opened(stream)("warning", "it_happened", number=1, text='a "b"\nc', at=["x"], odd={1})
    (line,) = lines(stream)
    del line["timestamp"]
    assert line == {
        "event": "it_happened",
        "level": "warning",
        "service": "tests",
        "number": 1,
        "text": 'a "b"\nc',
        "at": ["x"],
        "odd": "{1}",
    }


def test_times_are_utc() -> None:
    """Every line tells its time in UTC, in the form of ISO 8601."""
    stream = io.StringIO()
    opened(stream)("info", "it_happened")
    written = datetime.fromisoformat(lines(stream)[0]["timestamp"])
    assert written.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)


def test_what_is_none_is_left_out() -> None:
    """A field without value is not written."""
    stream = io.StringIO()
    opened(stream)("info", "it_happened", field=None, count=0, text="")
    (line,) = lines(stream)
    assert "field" not in line
    assert (line["count"], line["text"]) == (0, "")


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_only_what_is_severe_enough_is_written(level: str) -> None:
    """Lines below the level that was asked for are not written."""
    stream, order = io.StringIO(), ["debug", "info", "warning", "error"]
    log = opened(stream, level=level)
    for each in order:
        log(each, "it_happened")
    assert [line["level"] for line in lines(stream)] == order[order.index(level) :]


@pytest.mark.parametrize(
    ("form", "stream", "as_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ],
)
def test_the_form_suits_the_reader(form: str, stream: io.StringIO, as_json: bool) -> None:
    """Programs get JSON and people something readable, unless asked for otherwise."""
    opened(stream, format=form)("info", "it_happened", count=5)
    text = stream.getvalue()
    assert "it_happened" in text
    assert text.startswith("{") is as_json
    assert "service" not in text or as_json


def test_exceptions_are_told() -> None:
    """A line about an exception carries its trace."""
    stream = io.StringIO()
    opened(stream)("error", "it_broke", exc_info=ZeroDivisionError("by nothing"))
    assert "ZeroDivisionError" in lines(stream)[0]["exception"]


def test_global_configuration_is_left_alone() -> None:
    """A program that uses the library keeps its own logging."""
    before = structlog.get_config(), list(logging.getLogger().handlers)
    opened(io.StringIO())("info", "it_happened")
    assert (structlog.get_config(), list(logging.getLogger().handlers)) == before
