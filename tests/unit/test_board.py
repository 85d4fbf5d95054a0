"""The demo's picture and figures: what they show, and that they fit."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lanternpipe import Skip
from lanternpipe.demo import plain, text
from lanternpipe.demo.board import board, export_svg
from lanternpipe.demo.following import Followed
from lanternpipe.demo.notes import Notes
from lanternpipe.demo.series import BARS, Series, halved, percentile, sparkline
from lanternpipe.demo.state import About, Figures, Flow, Flows, Letter, Seen, State
from lanternpipe.demo.witness import Witness
from lanternpipe.demo.worker import OneToOne
from lanternpipe.errors import OffsetError
from lanternpipe.records import Fetched, Headers, Records, TopicPartition

ABOUT = About(
    app="logins",
    where="a broker in memory",
    remark="within this process",
    input="user-login",
    output="processed-user-login",
    dead_letters="user-login.dlq",
    transform="src/logins/transform.py",
    poison=0.02,
)
EVENT = (
    b'{"user_id":"63cd3c70-6c44-4971-9fc9-6c45612f31c9","app_version":"2.3.0",'
    b'"ip":"91.42.227.164","locale":"NV","device_id":"93f1cd25-fe64-4f2c-b574-f6c0345c3c8a",'
    b'"timestamp":1729741922,"device_type":"iOS","processed_timestamp":1729741923}'
)
LETTER = Letter(
    "invalid", "Reject", "app_version", "N.N.N", "", "user-login/2/1234", EVENT[:-1] + b"beta"
)
FIGURES = Figures(
    produced=12_345,
    processed=11_480,
    filtered=620,
    dead_lettered=241,
    in_flight=4,
    seconds=12.345,
    p50_ms=38,
    p99_ms=71,
)
STATE = State(
    about=ABOUT,
    status="records are flowing",
    flowing=True,
    elapsed=65.2,
    figures=FIGURES,
    flows=Flows(
        Flow(1_000.0, tuple(range(240))), Flow(931.0, (1.0,) * 240), Flow(49.0), Flow(9.5, (3.0,))
    ),
    lag_records=3,
    lag_seconds=0.1,
    p50_ms=39,
    p99_ms=1_234,
    latency=(30.0, 40.0),
    kinds=(("invalid", 200), ("tombstone", 41)),
    letter=LETTER,
    events=(Seen(EVENT, 42),) * 20,
)
SIZES = ((80, 24), (100, 30), (140, 40), (140, 24), (60, 18), (40, 12))


def drawn(state: State, width: int, height: int) -> list[str]:
    """Return the lines of a picture."""
    console = Console(width=width, file=io.StringIO(), color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(board(state, width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40)])
def test_key_facts(width: int, height: int) -> None:
    """The board shows counts, rates, latency, lag, a dead letter's reason and what to edit."""
    picture = "\n".join(drawn(STATE, width, height))

    for fact in (
        "records are flowing",
        "1:05",
        "a broker in memory",
        "12,345",
        "1,000/s",
        "11,480",
        "931/s",
        "620",
        "241",
        "9.5/s",
        "p50 39 ms",
        "p99 1.2 s",
        "lag 3 records, oldest 0.1 s",
        "invalid: app_version must be N.N.N",
        "user-login/2/1234",
        "invalid 200 · tombstone 41",
        "processed-user-login",
        "user-login.dlq",
        "2.3.0",
        "63cd3c70…",
        "42 ms",
        "src/logins/transform.py",
        "Ctrl-C",
    ):
        assert fact in picture, fact


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("state", [STATE, State(ABOUT), replace(STATE, trouble="error: x " * 40)])
def test_fits(state: State, width: int, height: int) -> None:
    """No line is wider than the terminal, and no picture higher, however small it is."""
    lines = drawn(state, width, height)

    assert max(map(len, lines)) <= width
    assert len(lines) <= max(height, 11)  # the streams are always shown


def test_streams_add_up() -> None:
    """What came in is what is shown to have gone somewhere, and on the way."""
    shown = [line.split() for line in drawn(STATE, 80, 24)[2:7]]
    total, *parts = (
        int(next(word for word in words if word[0].isdigit()).replace(",", "")) for words in shown
    )

    assert total == sum(parts)


def test_newcomer_sees_something_at_once() -> None:
    """Before the first record, the board says what is going on, what will come, what to edit."""
    picture = "\n".join(drawn(State(ABOUT, status="joining the group"), 80, 24))

    assert "joining the group" in picture
    assert "2% of the records are broken on purpose" in picture
    assert "src/logins/transform.py" in picture


def test_wide_terminal_names_topics() -> None:
    """With room for them, each stream has its topic beside it."""
    lines = drawn(STATE, 140, 40)

    assert "user-login" in lines[2]
    assert "processed-user-login" in lines[3]
    assert "user-login.dlq" in lines[5]
    assert "processed_timestamp" in "\n".join(lines)


def test_bug_tells_its_place() -> None:
    """A dead letter of a bug shows the exception and the line that raised it."""
    letter = LETTER._replace(
        kind="bug", error="KeyError", field="", limit="", frame="logins/transform.py:23:transform"
    )

    picture = "\n".join(drawn(replace(STATE, letter=letter), 80, 24))

    assert "bug: KeyError at logins/transform.py:23:transform" in picture


@pytest.mark.parametrize(
    ("field", "limit", "said"),
    [
        ("ip", "required", "invalid: ip is missing"),
        ("timestamp", "int", "invalid: timestamp must be int"),
        ("", "object", "invalid: the value must be object"),
        ("", "", "invalid  "),
    ],
)
def test_reasons(field: str, limit: str, said: str) -> None:
    """A reason reads as a sentence, whatever is known of it."""
    state = replace(STATE, letter=LETTER._replace(field=field, limit=limit))

    assert said in "\n".join(drawn(state, 100, 30))


def test_field_at_fault_is_in_sight() -> None:
    """Of a long value, the stretch with the field at fault is shown."""
    value = b'{"first":"' + b"x" * 900 + b'","wrong":null}'
    state = replace(STATE, letter=LETTER._replace(field="a.wrong[0]", value=value))

    assert '"wrong":null' in "".join(line.strip("│ ") for line in drawn(state, 80, 24))


@pytest.mark.parametrize("value", [b"\x1b[2J\x07\r\nbell", b"\xff\xfe", "\u202egnp".encode()])
def test_records_cannot_disturb_the_terminal(value: bytes) -> None:
    """Control characters in a record, a log line or an event are shown, not obeyed."""
    state = replace(
        STATE,
        letter=LETTER._replace(value=value),
        events=(Seen(value, 1), Seen(json.dumps({"a": value.decode("latin1")}).encode(), 1)),
        trouble=value.decode("latin1"),
    )

    assert all(line.isprintable() for line in drawn(state, 80, 24))


def test_events_of_any_shape() -> None:
    """Events without common fields, and values that are no objects, are shown all the same."""
    events = (b'{"a":1}', b"[1]", b'{"b":{"c":2},"a":null}', b"", b"{}")
    for first in range(len(events)):
        turned = events[first:] + events[:first]
        state = replace(STATE, events=tuple(Seen(each, 1) for each in turned))

        assert len(drawn(state, 80, 24)) == 24


def test_svg_holds_the_picture() -> None:
    """The exported picture has the facts in it."""
    svg = export_svg(STATE, width=100, height=28, title="demo")

    assert svg.startswith("<svg")
    assert "12,345" in svg
    assert "src/logins/transform.py" in svg


@given(st.lists(st.floats(0, 1e9), max_size=100), st.integers(0, 60))
def test_sparkline_shape(values: list[float], width: int) -> None:
    """A sparkline is as wide as asked for, ends with the newest value and peaks at the largest."""
    line = sparkline(values, width)
    shown = values[-width:] if width else []

    assert len(line) == width
    assert len(line.strip()) == len(shown)
    if shown and max(shown) > 0:
        assert line.strip()[shown.index(max(shown))] == BARS[-1]
    else:
        assert set(line) <= {" ", BARS[0]}


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=60), st.floats(0, 1e6))
def test_bars_once_drawn_stay(values: list[float], new: float) -> None:
    """A new value never changes the seconds drawn before it."""
    before, after = halved(values), halved([*values, new])

    assert after[: len(before)] == before


@given(st.lists(st.floats(0, 100), max_size=100), st.integers(2, 20))
def test_series_keeps_what_was_asked(values: list[float], keep: int) -> None:
    """A series holds the newest values, whole pairs of them, and is bounded."""
    series = Series(keep)
    for value in values:
        series.add(value)
    kept = series.values()

    assert min(keep, len(values)) <= len(kept) < 2 * keep
    assert list(kept) == values[len(values) - len(kept) :]
    assert (len(values) - len(kept)) % 2 == 0


@given(st.lists(st.integers(0, 50), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_percentile_is_of_all_values(values: list[int], share: float) -> None:
    """A percentile is the nearest rank among all values."""
    rank = max(1, math.ceil(round(len(values) * share, 9)))

    assert percentile(Counter(values), share) == sorted(values)[rank - 1]


def test_percentile_of_nothing() -> None:
    """Without values there is no percentile."""
    assert percentile({}, 0.5) is None


@given(st.binary(max_size=300) | st.none(), st.integers(30, 100))
def test_readable_is_one_line(value: bytes | None, limit: int) -> None:
    """Any bytes become one printable line within the limit."""
    line = text.readable(value, limit)

    assert line.isprintable()
    assert 0 < len(line) <= limit


@pytest.mark.parametrize(
    ("in_flight", "unaccounted", "said"),
    [
        (4, 0, "every record is accounted for"),
        (3, 1, "1 record LOST"),
        (6, -2, "2 records TOO MANY"),
    ],
)
def test_summary_tells_what_is_missing(in_flight: int, unaccounted: int, said: str) -> None:
    """The summary says whether anything was lost or doubled, and the JSON how much."""
    figures = replace(FIGURES, in_flight=in_flight)

    assert said in plain.summary(figures)
    assert json.loads(plain.as_json(figures, Followed())) == {
        "produced": 12_345,
        "processed": 11_480,
        "filtered": 620,
        "dead_lettered": 241,
        "in_flight": in_flight,
        "unaccounted": unaccounted,
        "p50_ms": 38,
        "p99_ms": 71,
        "records_per_second": pytest.approx(1_000, abs=1),
        "trace": None,
        "journey": None,
    }


def test_plain_lines() -> None:
    """Without a terminal, a line tells the same."""
    assert plain.line(STATE) == (
        " 65.2 s  12,345 in (1,000/s), 11,480 processed, 620 filtered, 241 dead letters, "
        "4 on the way; p50 39 ms, p99 1.2 s, lag 3"
    )
    starting = State(ABOUT, status="joining", figures=Figures(produced=1))
    assert plain.line(starting) == "  0.0 s  joining; 1 record in"


def letters(*kinds: str) -> Fetched:
    """Return dead letters as they are read."""
    headers: list[Headers | None] = [
        [("pipeline-error-kind", kind.encode()), ("pipeline-origin-topic", b"in")] for kind in kinds
    ]
    place, count = TopicPartition("dlq", 0), len(kinds)
    many = range(count)
    return Fetched([Records(place, [*many], [None] * count, [b"v"] * count, [0] * count, headers)])


def outputs(*stamps: int) -> Fetched:
    """Return outputs with these timestamps as they are read."""
    place, count = TopicPartition("out", 0), len(stamps)
    many = range(count)
    return Fetched([Records(place, [*many], [None] * count, [EVENT] * count, [*stamps])])


def test_witness_counts_and_measures() -> None:
    """The witness counts what it reads and how old it was, each age told once."""
    witness = Witness("out", clock=lambda: 2.0)

    witness.note(outputs(1_990, 1_990, 1_950, 0))
    witness.note(letters("invalid", "empty", "empty"))
    first, second = witness.glance(), witness.glance()

    assert (first.processed, first.dead_lettered, witness.seen) == (4, 3, 7)
    assert first.latency == {10: 2, 50: 1}
    assert first.kinds == {"empty": 2, "invalid": 1}
    assert first.events == (Seen(EVENT, 2_000),)
    assert (second.processed, second.latency) == (4, {})


def test_witness_shows_letters_at_a_readable_pace() -> None:
    """A letter stays for seconds, the next is of another kind, and a bug goes before all."""
    now = [0.0]
    witness = Witness("out", clock=lambda: now[0])
    shown = []
    for kinds in (["empty"], ["invalid"], ["empty", "invalid", "empty"], ["bug"], ["empty"]):
        witness.note(letters(*kinds))
        letter = witness.glance().letter
        assert letter is not None
        shown.append(letter.kind)
        now[0] += 2.0

    assert shown == ["empty", "empty", "invalid", "bug", "bug"]


def test_witness_speaks_up_when_records_are_gone() -> None:
    """Records that the broker drops before they are read are an error, not a smaller number."""
    with pytest.raises(OffsetError, match="out/1"):
        Witness("out").note(Fetched(lost=[TopicPartition("out", 1)]))


def test_notes_keep_what_matters() -> None:
    """Warnings are kept and handed on, or only kept; what the demo does on purpose is neither."""
    forwarded: list[str] = []

    def log(level: str, event: str, **fields: object) -> None:
        forwarded.append(event)

    notes = Notes(log)
    notes("info", "partitions_assigned")
    notes("warning", "records_dead_lettered", kind="invalid")
    assert notes.last == ""

    notes("warning", "work_undone", cause="X", field=None)
    with notes.silently():
        notes("error", "records_dead_lettered", kind="bug")

    assert notes.last == "error: records_dead_lettered kind=bug"
    assert forwarded == ["work_undone"]


def test_one_to_one_notices_several_outputs() -> None:
    """A transform that returns anything but one output or `Skip` is noticed."""
    results = iter([1, Skip("old"), [1, 2]])
    watched = OneToOne(lambda _event, _ctx: next(results), int)

    held = []
    for _ in range(3):
        watched(None, None)  # type: ignore[arg-type]  # neither is looked at
        held.append(watched.holds)

    assert held == [True, True, False]
