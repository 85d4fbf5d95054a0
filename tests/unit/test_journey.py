"""What is concluded from the records found of one event, and how it is shown. Pure."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lanternpipe.ops.journey import Found, Journey, Stretch, as_json, conclude, moment
from lanternpipe.ops.journey_tree import MOST_LISTED, as_tree
from lanternpipe.ops.shown import MOST_SHOWN
from lanternpipe.records import Headers, Place, TopicPartition
from lanternpipe.runtime.deadletter import Cause, DeadLetters
from lanternpipe.testing.fake_broker import Stored, run_of

AT = 1_700_000_000_123
EVENT = Place("in", 3, 100)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT: Headers = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())]
SOURCE = Found(EVENT, AT, b"alice", b'{"ip": "91.42.227.164"}', TRACEPARENT)
OUTPUT = replace(SOURCE, place=Place("out", 3, 90), value=b"91.42.227.164, and more")
CAUSE = Cause("invalid", "decode", "Reject", "app_version", "N.N.N")


def letter_of(cause: Cause = CAUSE) -> Found:
    """Return the dead letter that the runtime writes for the event."""
    stored = Stored(SOURCE.value, SOURCE.key, AT, SOURCE.headers)
    run = run_of(EVENT.source, [(EVENT.offset, stored)])
    sent = DeadLetters("in.dlq", "readers", 100_000).envelope(run, [0], [cause])
    assert sent.headers is not None
    place = Place("in.dlq", 3, 7)
    return Found(place, AT + 1_500, sent.keys[0], sent.values[0], sent.headers[0] or [])


def journey(committed: int | None = 101, **found: object) -> Journey:
    """Return a way on which only what is given was found."""
    return replace(Journey(EVENT, SOURCE, "readers", committed), **found)  # type: ignore[arg-type]


def picture(of: Journey, *, show: bool = False, terminal: bool = False) -> str:
    """Return what is printed for people, on a terminal or into a file."""
    file = io.StringIO()
    Console(width=100, file=file, force_terminal=terminal or None).print(as_tree(of, show=show))
    return file.getvalue()


@pytest.mark.parametrize(
    ("of", "outcome", "says"),
    [
        (journey(outputs=[OUTPUT]), "processed", "processed: one output has its key and time"),
        (journey(outputs=[OUTPUT] * 3), "processed", "processed: 3 candidates"),
        (journey(letters=[letter_of()]), "dead_lettered", "dead-lettered: invalid"),
        (journey(99, letters=[letter_of()]), "dead_lettered", "dead-lettered: invalid"),
        (journey(outputs=[OUTPUT], letters=[letter_of()]), "dead_lettered", "dead-lettered"),
        (journey(letters=[SOURCE]), "dead_lettered", "no reason given"),
        (journey(None), "waiting", "waiting: readers has committed nothing on in/3"),
        (journey(90), "waiting", "waiting: 10 offsets before it"),
        (journey(100), "waiting", "waiting: it is next"),
        (journey(100, outputs=[OUTPUT]), "waiting", "yet there is output with its key and time"),
        (journey(), "filtered_or_not_found", "filtered or not found"),
    ],
)
def test_conclusion(of: Journey, outcome: str, says: str) -> None:
    """A letter is certain, output only likely, and nothing at all may be filtered or not found."""
    found = conclude(of)
    assert found.outcome == outcome
    assert says in found.text
    assert says in " ".join(picture(of).split())
    assert as_json(of)["outcome"] == outcome


def test_what_a_letter_tells() -> None:
    """All that the runtime writes into a letter about the failure is told, and its time after."""
    of = journey(letters=[letter_of()])
    (told,) = json.loads(json.dumps(as_json(of)))["dead_letters"]
    assert told == {
        "topic": "in.dlq",
        "partition": 3,
        "offset": 7,
        "timestamp": AT + 1_500,
        "time": "2023-11-14T22:13:21.623Z",
        "key_bytes": 5,
        "value_bytes": 23,
        "trace_id": TRACE,
        "reason": "invalid",
        "stage": "decode",
        "error": "Reject",
        "field": "app_version",
        "limit": "N.N.N",
        "attempt": "1",
        "group": "readers",
        "version": told["version"],
    }
    assert picture(of).splitlines()[4:8] == [
        "└── ✘ in.dlq/3/7  2023-11-14T22:13:21.623Z  +1.500 s",
        "      invalid at decode: field app_version, should be N.N.N",
        f"      attempt 1, error Reject, group readers, version {told['version']}",
        "      key 5 B, value 23 B",
    ]


def test_the_picture_of_an_event_that_was_processed() -> None:
    """The way goes from the input by the group to the output, with times, sizes and trace."""
    assert picture(journey(outputs=[OUTPUT])) == (
        "● in/3/100  2023-11-14T22:13:20.123Z\n"
        "│ key 5 B, value 23 B\n"
        f"│ trace {TRACE}\n"
        "├── ● readers has committed up to 101\n"
        "└── ✔ out/3/90  2023-11-14T22:13:20.123Z\n"
        "      key 5 B, value 23 B\n"
        f"      trace {TRACE}\n"
        "\n"
        "processed: one output has its key and time\n"
    )


def test_where_nothing_was_found_is_told() -> None:
    """Who finds nothing is told which offsets were looked at."""
    out, dlq = TopicPartition("out", 3), TopicPartition("in.dlq", 3)
    text = picture(journey(searched=[Stretch(out, 1_000, 2_000), Stretch(dlq, 5, 5)]))
    assert "none in out/3, offsets 1,000 to 1,999" in text
    assert "none in in.dlq/3, which has nothing from then on" in text


def test_an_event_that_is_gone_has_the_time_of_its_letter() -> None:
    """Of a record that is no longer retained its letter still knows the time."""
    gone = journey(source=None, letters=[letter_of()])
    assert as_json(gone)["timestamp"] == AT
    assert as_json(gone)["input"] is None
    assert "no longer retained" in picture(gone)
    assert "+1.500 s" in picture(gone)


@pytest.mark.parametrize("secret", ["alice", "91.42.227.164"])
def test_personal_data_are_shown_only_when_asked_for(secret: str) -> None:
    """Keys and values appear neither in the picture nor in JSON, unless they are asked for."""
    of = journey(outputs=[OUTPUT], letters=[letter_of()])
    assert secret not in picture(of) + json.dumps(as_json(of))
    assert picture(of, show=True).count(secret) == 3
    assert json.dumps(as_json(of, show=True)).count(secret) == 3


def test_a_terminal_gets_colours_and_a_file_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Escape sequences are for terminals alone."""
    monkeypatch.setenv("TERM", "xterm")
    of = journey(letters=[letter_of()])
    assert "\x1b[" in picture(of, terminal=True)
    assert "\x1b" not in picture(of)


@given(st.binary(max_size=50), st.none() | st.binary(max_size=50))
def test_no_content_disturbs_a_terminal(value: bytes, key: bytes | None) -> None:
    """Whatever somebody has sent, as key, value or reason, no control character is printed."""
    letter = replace(letter_of(), key=key, value=value)
    letter.headers.append(("pipeline-error-kind", value))
    of = journey(letters=[letter], source=replace(SOURCE, key=key, value=value))
    text = picture(of, show=True).replace("\n", "")
    assert text.isprintable()
    json.dumps(as_json(of, show=True)).encode("ascii")


def test_large_values_and_many_candidates_are_cut_for_people() -> None:
    """A value of a megabyte and a thousand candidates fit on a screen; programs get all."""
    large = replace(OUTPUT, value=b"x" * 1_000_000)
    of = journey(outputs=[large] * 1_000, others=[EVENT] * 1_000)
    text = picture(of, show=True)
    assert text.count("x") < (MOST_SHOWN + 100) * MOST_LISTED
    assert "and 990 more candidates" in text
    assert "1,000 later events of this key fit as well" in text
    told = json.loads(json.dumps(as_json(of)))
    assert (len(told["outputs"]), len(told["other_events"])) == (1_000, 1_000)
    assert told["candidates"]


@pytest.mark.parametrize(
    ("content", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-what-will-come", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        ("", None),
    ],
)
def test_trace(content: str, trace: str | None) -> None:
    """The trace is told where the header is as the W3C has it."""
    assert replace(SOURCE, headers=[("traceparent", content.encode())]).trace_id == trace
    assert replace(SOURCE, headers=[]).trace_id is None


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (AT, "2023-11-14T22:13:20.123Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (2**62, f"{2**62} ms"),
    ],
)
def test_moment(milliseconds: int, text: str) -> None:
    """A time is told to the millisecond in UTC; what no calendar has, as the number it is."""
    assert moment(milliseconds) == text


@given(st.text(min_size=1).filter(lambda topic: "/" not in topic), st.integers(0, 10**9 - 1))
def test_places_can_be_read_as_they_are_written(topic: str, partition: int) -> None:
    """A place that was printed can be pasted."""
    place = Place(topic, partition, partition * 10**9)
    assert Place.parse(str(place)) == place


@pytest.mark.parametrize(
    "text", ["", "a/1", "a/1/2/3", "a/x/1", "a/1/-1", "a/ 1/2", f"a/1/{2**63}", "a/1/²"]
)
def test_other_texts_are_no_places(text: str) -> None:
    """What is not topic, partition and offset is refused."""
    with pytest.raises(ValueError, match="is not TOPIC/PARTITION/OFFSET"):
        Place.parse(text)
