"""Log lines: JSON for programs, readable for people."""

from __future__ import annotations

import ast
import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

import lanternpipe
from lanternpipe.ports import Log
from lanternpipe.settings import LogSettings
from lanternpipe.telemetry.catalogue import COMMON_LOG_FIELDS, LOG_LINES
from lanternpipe.telemetry.logs import QUEUE_LINES, REPEAT_SECONDS, REPEATS, PipelineLog
from lanternpipe.testing.doubles import Clock

SOURCES = Path(lanternpipe.__file__).parent
LEVELS = {"debug", "info", "warning", "error"}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def opened(stream: io.StringIO, **settings: Any) -> Log:
    """Open a log that writes to the stream."""
    return PipelineLog(LogSettings(**settings), service="tests", stream=stream)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the JSON lines that were written."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object() -> None:
    """A line has event, level, service, time and its fields, whatever they hold."""
    stream = io.StringIO()
    opened(stream)("warning", "consumer_error", code=["x", {1}], text='a "b"\nc')
    (line,) = lines(stream)
    del line["timestamp"]
    assert line == {
        "event": "consumer_error",
        "level": "warning",
        "service": "tests",
        "code": ["x", "{1}"],
        "text": 'a "b"\nc',
    }


def test_times_are_utc() -> None:
    """Every line tells its time in UTC, in the form of ISO 8601."""
    stream = io.StringIO()
    opened(stream)("info", "stopping")
    written = datetime.fromisoformat(lines(stream)[0]["timestamp"])
    assert written.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)


def test_what_is_none_is_left_out() -> None:
    """A field without value is not written."""
    stream = io.StringIO()
    opened(stream)("info", "partition_started", offset=None, partition=0, start="")
    (line,) = lines(stream)
    assert "offset" not in line
    assert (line["partition"], line["start"]) == (0, "")


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_only_what_is_severe_enough_is_written(level: str) -> None:
    """Lines below the level that was asked for are not written."""
    stream, order = io.StringIO(), ["debug", "info", "warning", "error"]
    log = opened(stream, level=level)
    for each in order:
        log(each, "stopping")
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
    opened(stream, format=form)("info", "stopping")
    text = stream.getvalue()
    assert "stopping" in text
    assert text.startswith("{") is as_json
    assert "service" not in text or as_json


def test_exceptions_are_told() -> None:
    """A line about an exception carries its trace."""
    stream = io.StringIO()
    opened(stream)("error", "producer_failed", exc_info=ZeroDivisionError("by nothing"))
    assert "ZeroDivisionError" in lines(stream)[0]["exception"]


def test_global_configuration_is_left_alone() -> None:
    """A program that uses the library keeps its own logging."""
    before = structlog.get_config(), list(logging.getLogger().handlers)
    opened(io.StringIO())("info", "stopping")
    assert (structlog.get_config(), list(logging.getLogger().handlers)) == before


def test_what_the_catalogue_does_not_know_is_not_written() -> None:
    """A field that is not declared for its event is left out: it could be personal data."""
    stream = io.StringIO()
    log = opened(stream)
    log("warning", "consumer_error", code="X", user_id="secret-1")
    log("warning", "nobody_declared_this", user_id="secret-2", trace_id="t")
    assert "secret" not in stream.getvalue()
    assert [line["event"] for line in lines(stream)] == ["consumer_error", "nobody_declared_this"]


def test_repeats_are_left_out_and_counted() -> None:
    """Of lines that are alike only a few are written; the next one tells how many were not."""
    stream, clock = io.StringIO(), Clock()
    log = PipelineLog(LogSettings(), service="tests", stream=stream, clock=clock)
    for _ in range(REPEATS + 20):
        log("warning", "consumer_error", code="A")
    log("warning", "consumer_error", code="B")
    assert [line["code"] for line in lines(stream)] == ["A"] * REPEATS + ["B"]
    clock.now += REPEAT_SECONDS
    log("warning", "consumer_error", code="A")
    assert lines(stream)[-1]["suppressed"] == log.suppressed == 20
    assert log.written == {"warning": REPEATS + 2}


def test_information_is_never_left_out() -> None:
    """Lines at level info come seldom by themselves, and all of them count."""
    stream = io.StringIO()
    log = opened(stream)
    for _ in range(50):
        log("info", "stopping")
    assert len(lines(stream)) == 50


class Blocked(io.StringIO):
    """A stream whose reader does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = threading.Event()

    def write(self, text: str) -> int:
        """Wait for the reader."""
        self.reads.wait(30)
        return super().write(text)


def test_a_blocked_stream_blocks_nobody() -> None:
    """With a thread that writes, a full pipe costs lines, which are counted, and no time."""
    stream = Blocked()
    log = PipelineLog(LogSettings(), service="tests", stream=stream, background=True)
    for _ in range(QUEUE_LINES * 2):
        log("info", "stopping")
    assert log.dropped >= QUEUE_LINES - 1
    stream.reads.set()
    log.close(30.0)
    assert len(lines(stream)) + log.dropped == QUEUE_LINES * 2


def test_closing_a_blocked_log_ends() -> None:
    """A log whose stream stays blocked is closed within its time."""
    stream = Blocked()
    log = PipelineLog(LogSettings(), service="tests", stream=stream, background=True)
    log("info", "stopping")
    before = time.monotonic()
    log.close(0.1)
    assert time.monotonic() - before < 5.0
    stream.reads.set()


def log_calls() -> Iterator[tuple[str, set[str]]]:
    """Yield event and fields of each call in the sources that writes a log line."""
    for path in sorted(SOURCES.rglob("*.py")):
        if path.parent.name == "demo":  # its notes go to its own board
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or len(node.args) != 2:
                continue
            level, event = node.args
            if not isinstance(event, ast.Constant):
                continue
            leveled = isinstance(level, ast.Constant) and level.value in LEVELS
            if leveled or event.value in LOG_LINES:
                yield str(event.value), {each.arg for each in node.keywords if each.arg}


def test_the_catalogue_holds_every_line_that_is_written_and_no_other() -> None:
    """A line or field that is not declared would be left out; one that nobody writes is no use."""
    calls = list(log_calls())
    assert {event for event, _ in calls} == set(LOG_LINES)
    undeclared = [
        (event, field)
        for event, fields in calls
        for field in fields - LOG_LINES[event].fields - COMMON_LOG_FIELDS
    ]
    assert not undeclared
