"""The record that is followed, on the board, in plain text and for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lanternpipe.demo import plain
from lanternpipe.demo.following import Followed
from lanternpipe.demo.show import leave_picture
from lanternpipe.demo.state import Figures, State
from lanternpipe.demo.trace_tree import Trace
from tests.unit.followed import (
    FOLLOWED,
    JOURNEY,
    TRACE,
    processed,
    sent,
)
from tests.unit.test_board import SIZES, STATE, drawn


@pytest.mark.parametrize(
    ("size", "seen", "unseen"),
    [
        ((80, 24), ("invalid: app_version", "send in", "latency"), ("group has committed",)),
        ((80, 40), ("send in", "group has committed", "dead-lettered: invalid", "latency"), ()),
        ((120, 40), ("━━━", "group has committed", "processed_timestamp"), ()),
        ((60, 18), ("invalid: app_version",), ("send in", "group has committed")),
    ],
)
def test_board_shows_what_there_is_room_for(
    size: tuple[int, int], seen: Sequence[str], unseen: Sequence[str]
) -> None:
    """On 24 rows there is the trace and an event; a higher terminal shows the journey, too."""
    picture = "\n".join(drawn(replace(STATE, followed=FOLLOWED), *size))

    assert [fact for fact in seen if fact not in picture] == []
    assert [fact for fact in unseen if fact in picture] == []


def test_board_tells_the_trace() -> None:
    """The panel has spans with services, begins and lengths, the record, the id and the failure."""
    picture = "\n".join(drawn(replace(STATE, followed=FOLLOWED), 80, 24))

    for fact in (
        f"{7:032x}"[:8] + "…, 70 ms",
        "producer",
        "at 0 ms     40 ms",
        "╰ in/2/7",
        "Kafka",
        "╰ process in",
        "at 50 ms     20 ms",
        "invalid at decode, in a batch of 12",
    ):
        assert fact in picture, fact


@pytest.mark.parametrize(("width", "height"), [*SIZES, (80, 30), (20, 60)])
@pytest.mark.parametrize("followed", [FOLLOWED, Followed(TRACE), Followed(None, JOURNEY)])
def test_board_with_a_record_fits(followed: Followed, width: int, height: int) -> None:
    """No line is wider than the terminal, and no picture higher, whatever is followed."""
    lines = drawn(replace(STATE, followed=followed), width, height)

    assert max(map(len, lines)) <= width
    assert len(lines) <= max(height, 11)


@pytest.mark.parametrize(("traced", "panels"), [(True, 1), (False, 0)])
def test_no_trace_panel_without_traces(traced: bool, panels: int) -> None:
    """Where traces are switched off there is no panel for them, else it says that it waits."""
    picture = "\n".join(drawn(State(STATE.about, traced=traced), 80, 40))

    assert picture.count("a record's trace") == picture.count("crossed Kafka") == panels


def test_names_cannot_disturb_the_terminal() -> None:
    """Control characters in names of spans and services are shown, not obeyed."""
    evil = "\x1b[2J\n[bold]"
    span = sent()._replace(name=evil, service=evil)
    trace = Trace((span, processed(error=evil)))
    state = replace(STATE, followed=Followed(trace))

    assert all(line.isprintable() for line in drawn(state, 100, 40))
    assert all(line.isprintable() for line in plain.story(state.followed).splitlines())


def test_plain_text_tells_trace_and_journey() -> None:
    """Without a terminal, both are told in whole lines: tree, times, places and the outcome."""
    told = plain.story(FOLLOWED)

    for fact in (
        f"trace {7:032x}, 70 ms; invalid at decode, in a batch of 12",
        "send in",
        "producer",
        "╰ in/2/7",
        "  ╰ process in",
        "lanternpipe journey in/2/7",
        "✘ dlq/0/1",
        "dead-lettered: invalid",
    ):
        assert fact in told, fact
    assert "\x1b" not in told
    assert plain.story(Followed()) == ""


def test_a_pipe_may_take_ascii_only() -> None:
    """What an encoding cannot write is replaced, so that the demo does not end with an error."""
    assert plain.encodable("╰ a", "ascii") == "? a"
    assert plain.encodable("╰ a", None) == "╰ a"


def test_json_holds_trace_and_journey() -> None:
    """The JSON has both as objects, and null where there is none."""
    told = json.loads(plain.as_json(Figures(), FOLLOWED))
    nothing = json.loads(plain.as_json(Figures(), Followed()))

    assert told["trace"]["crossing"] == told["journey"]["event"] == "in/2/7"
    assert told["journey"]["outcome"] == "dead_lettered"
    assert nothing["trace"] is nothing["journey"] is None


def test_the_last_picture_has_both_whole() -> None:
    """After the end, the board, the trace and the journey are left, however low the terminal."""
    stream = io.StringIO()
    leave_picture(stream, replace(STATE, followed=FOLLOWED))

    for fact in ("records in", "latency", "╰ process in", "dead-lettered: invalid"):
        assert fact in stream.getvalue(), fact
    assert stream.getvalue().count("a record's trace") == 1
