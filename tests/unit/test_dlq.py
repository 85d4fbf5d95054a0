"""What is concluded from dead letters: marks, filters, what is replayed, counts and pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from lanternpipe import headers
from lanternpipe.errors import Reject
from lanternpipe.letter import Letter, letters_of
from lanternpipe.ops import dlq_peek, dlq_stats
from lanternpipe.ops.dlq_stats import Stats, bucket, count
from lanternpipe.ops.mailbox import Filters
from lanternpipe.ops.marks import Mark, Marks, key_of, marks_to_write
from lanternpipe.ops.replay_plan import (
    BATCH_BYTES,
    Order,
    Ready,
    batches,
    obstacle,
    records_to_write,
    replayed_headers,
)
from lanternpipe.records import Outgoing, Place, Records, TopicPartition
from lanternpipe.testing.fake_broker import Stored, run_of
from lanternpipe.version import VERSION
from tests.letters import ORIGIN_MS, LetterKind, envelope

DLQ = TopicPartition("in.dlq", 2)
AT = 1_700_000_000_000
MARK = Mark(AT + 5, "in.replay", "r", 1, AT)
TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def letter_of(kind: LetterKind | None = None, offset: int = 0, at: int = AT) -> Letter:
    """Return one letter."""
    key, value, told = envelope("in", offset, kind or LetterKind())
    return letters_of(run_of(DLQ, [(offset, Stored(value, key, at, told))]))[0]


def marks_of(*marked: tuple[Letter, Mark]) -> Marks:
    """Return marks as they come back from their topic."""
    letters, marks = [each for each, _ in marked], [mark for _, mark in marked]
    return Marks().read([as_run(marks_to_write("in.dlq.marks", letters, marks))])


def as_run(sent: Outgoing) -> Records:
    """Return what was sent as it is read again."""
    stored = zip(sent.values, sent.keys, strict=True)
    found = [(offset, Stored(value, key, AT)) for offset, (value, key) in enumerate(stored)]
    return run_of(TopicPartition(sent.topic, 0), found)


def text_of(shown: RenderableType) -> str:
    """Return what is printed for people."""
    file = io.StringIO()
    Console(width=100, file=file).print(shown)
    return file.getvalue()


def explain(value: bytes | None) -> Reject | None:
    """Decode, as a pipeline of good values would."""
    return None if value == b"good" else Reject("invalid", field="age", limit="int")


def glance(
    letters: Sequence[Letter],
    marks: Marks | None = None,
    *,
    most: int = 10,
    oldest: bool = False,
    marked_too: bool = False,
) -> dlq_peek.Glance:
    """Look at letters."""
    return dlq_peek.look(
        letters, marks or Marks(), explain, most=most, oldest=oldest, marked_too=marked_too
    )


def test_what_a_letter_tells() -> None:
    """All that the runtime writes is read again."""
    letter = letter_of(offset=7)
    assert letter.place == Place("in.dlq", 2, 7)
    assert letter.origin == Place("in", 0, 7)
    assert letter.event_id == "in/0/7"
    assert (letter.reason, letter.stage, letter.error) == ("invalid", "decode", "Reject")
    assert (letter.field, letter.limit, letter.version) == ("app_version", "N.N.N", VERSION)
    assert (letter.attempt, letter.replays, letter.cut, letter.frames) == (1, 0, (), ())


def test_a_record_that_is_no_letter_of_ours_is_told_as_far_as_it_goes() -> None:
    """Anybody may have written anything into the topic."""
    odd = [(name, b"\xff/x") for name in (*headers.ORIGIN, headers.ATTEMPT, headers.REPLAYS)]
    letter = Letter(Place("in.dlq", 0, 1), AT, None, None, [*odd])
    assert (letter.reason, letter.stage, letter.version) == ("unknown", "unknown", "unknown")
    assert (letter.origin, letter.event_id, letter.attempt, letter.replays) == (None, None, 1, 0)
    unreadable = Letter(Place("in.dlq", 0, 1), AT, None, None, [], readable=False)
    assert unreadable.reason == "unreadable"


def test_a_mark_belongs_to_one_letter() -> None:
    """A letter is marked by its place and its time, so that a topic made anew begins unmarked."""
    letter = letter_of()
    marks = marks_of((letter, MARK))
    assert marks.of(letter) == MARK
    assert marks.of(replace(letter, timestamp=AT + 1)) is None
    assert marks.of(letter_of(offset=1)) is None


def test_the_last_mark_counts() -> None:
    """Later marks replace earlier ones, and one without value takes the mark away."""
    letter = letter_of()
    again = MARK._replace(replays=2)
    marks = marks_of((letter, MARK), (letter, again))
    assert marks.of(letter) == again
    tombstone = run_of(TopicPartition("m", 0), [(0, Stored(None, key_of(letter.place)))])
    assert len(marks) == 1
    assert marks.read([tombstone]).of(letter) is None


@settings(deadline=None)
@given(st.binary() | st.sampled_from([b"{}", b"[]", b"7", b'{"at":"x"}', b'{"at":1e999}']))
def test_a_mark_that_cannot_be_read_is_a_mark(value: bytes) -> None:
    """Whatever is in it, a letter that has a mark is not replayed by accident."""
    letter = letter_of()
    stored = Stored(value, key_of(letter.place))
    marks = Marks().read([run_of(TopicPartition("m", 0), [(0, stored)])])
    assert marks.of(letter) == Mark()


@pytest.mark.parametrize(
    ("filters", "admitted"),
    [
        (Filters(), True),
        (Filters(frozenset({"invalid", "bug"})), True),
        (Filters(frozenset({"bug"})), False),
        (Filters(key=b"alice"), True),
        (Filters(key=b"bob"), False),
        (Filters(since=AT), True),
        (Filters(since=AT + 1), False),
        (Filters(until=AT + 1), True),
        (Filters(until=AT), False),
        (Filters(frozenset({"invalid"}), b"alice", AT, AT), False),
    ],
)
def test_filters(filters: Filters, admitted: bool) -> None:
    """All that is given has to fit; a time begins and ends as ranges do."""
    assert filters.admits(letter_of()) is admitted


def test_filters_are_told_without_the_key() -> None:
    """A key is personal data, so a log line only says that there was one."""
    assert str(Filters()) == "all"
    assert str(Filters(key=b"alice")) == "key=(given)"


@pytest.mark.parametrize(
    ("kind", "mark", "asked", "reason"),
    [
        (LetterKind(), None, {}, None),
        (LetterKind(), MARK, {}, "replayed before"),
        (LetterKind(), MARK, {"again": True}, None),
        (LetterKind(), MARK._replace(replays=3), {"again": True}, "replayed too often"),
        (LetterKind(replays=2), None, {}, None),
        (LetterKind(replays=3), None, {}, "replayed too often"),
        (LetterKind(replays=3), None, {"max_replays": 4}, None),
        (LetterKind(replays=3), MARK, {}, "replayed before"),
        (LetterKind(cut=True), None, {}, "truncated"),
        (LetterKind(), None, {"origin": "in"}, None),
        (LetterKind(origin="else"), None, {"origin": "in"}, "other origin"),
        (LetterKind(origin="else"), None, {}, None),
    ],
)
def test_what_is_not_replayed(
    kind: LetterKind, mark: Mark | None, asked: dict[str, object], reason: str | None
) -> None:
    """Marked, cut, too often replayed and foreign letters are left, each with its reason."""
    order = Order("in.replay", **asked)  # type: ignore[arg-type]
    assert obstacle(letter_of(kind), mark, order) == reason


def test_letters_with_unreadable_headers_are_not_replayed() -> None:
    """Without its headers a record would not be the same."""
    letter = Letter(Place("in.dlq", 0, 1), AT, b"k", b"v", [], readable=False)
    assert obstacle(letter, None, Order("in.replay")) == "unreadable headers"


def test_headers_of_a_replayed_record() -> None:
    """A record's own headers and trace stay, who it is stays; what failed goes, in all dialects."""
    own = (("tenant", b"7"), ("tenant", b"8"), ("traceparent", TRACEPARENT))
    letter = letter_of(LetterKind(own=own))
    letter.record_headers.extend(
        [
            ("kafka_dlt-exception-message", b"secret"),
            ("__connect.errors.topic", b"in"),
            (headers.ERROR_TEXT, b"secret"),
            (headers.RETRY_DUE, b"1"),
        ]
    )
    assert replayed_headers(letter, 2) == [
        *own,
        (headers.EVENT_ID, b"in/0/0"),
        (headers.ORIGIN_TOPIC, b"in"),
        (headers.ORIGIN_PARTITION, b"0"),
        (headers.ORIGIN_OFFSET, b"0"),
        (headers.ORIGIN_TIMESTAMP, b"%d" % ORIGIN_MS),
        (headers.ATTEMPT, b"1"),
        (headers.REPLAYS, b"2"),
    ]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "traceparent", headers.REPLAYS, headers.EVENT_ID]),
            st.none() | st.binary(max_size=3),
        )
    )
)
def test_a_record_comes_back_as_it_was(own: list[tuple[str, bytes | None]]) -> None:
    """Headers that are not ours are kept in order, with doubles; of ours there is one each."""
    letter = Letter(Place("in.dlq", 0, 1), AT, b"k", b"v", [*own])
    found = replayed_headers(letter, 1)
    theirs = [each for each in own if not each[0].startswith(headers.PREFIX)]
    assert found[: len(theirs)] == theirs
    ours = [name for name, _ in found[len(theirs) :]]
    assert len(set(ours)) == len(ours)
    assert dict(found)[headers.REPLAYS] == b"1"


def test_a_replayed_record_has_key_value_and_the_time_of_its_replay() -> None:
    """The key decides about the partition; an old time would let the topic delete it at once."""
    sent = records_to_write("in.replay", [Ready(letter_of(), b"mended", 1)])
    assert (sent.topic, sent.keys, sent.values) == ("in.replay", [b"alice"], [b"mended"])
    assert sent.timestamps == [0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 5)), st.integers(1, 4))
def test_batches_hold_everything_in_order(sizes: list[int], most: int) -> None:
    """No letter is lost between batches, and none has too many letters, nor too many bytes."""
    part = BATCH_BYTES // 4
    value = bytes(part)
    ready = [
        Ready(replace(letter_of(), timestamp=number), value * (size == 5), 1)
        for number, size in enumerate(sizes)
    ]
    found = [*batches(ready, most)]
    assert [each for batch in found for each in batch] == ready
    for batch in found:
        assert 1 <= len(batch) <= most
        assert sum(len(each.value or b"") for each in batch) < BATCH_BYTES + part


@pytest.mark.parametrize(
    ("rate", "at_once"), [(None, 500), (0.1, 1), (10.0, 2), (100.0, 20), (1e9, 500)]
)
def test_a_transaction_holds_no_more_than_a_rate_allows(rate: float | None, at_once: int) -> None:
    """A fifth of a second's letters go at once."""
    assert Order("in.replay", rate=rate).at_once == at_once


@pytest.mark.parametrize(
    ("age", "name"),
    [
        (0.0, "1m"),
        (59.9, "1m"),
        (60.0, "1h"),
        (3_600.0, "1d"),
        (86_400.0, "7d"),
        (604_800.0, "older"),
        (1e12, "older"),
    ],
)
def test_ages(age: float, name: str) -> None:
    """A bucket begins where the one before it ends."""
    assert bucket(age) == name


def stats(*, marked_too: bool = False) -> Stats:
    """Count three letters, one of which has been replayed."""
    letters = [
        letter_of(),
        letter_of(LetterKind(reason="bug"), 1, AT - 7_200_000),
        letter_of(LetterKind(reason="bug"), 2, AT - 9 * 86_400_000),
    ]
    marks = marks_of((letters[2], MARK._replace(letter=letters[2].timestamp)))
    return count(letters, marks, AT / 1_000 + 1, marked_too=marked_too)


def test_counts() -> None:
    """Letters are counted by reason, stage, version and age, those replayed apart."""
    assert json.loads(json.dumps(stats().as_json())) == {
        "total": 2,
        "by_reason": {"invalid": 1, "bug": 1},
        "by_stage": {"decode": 2},
        "by_version": {VERSION: 2},
        "ages": {"1m": 1, "1h": 0, "1d": 1, "7d": 0, "older": 0},
        "marked": 1,
        "oldest_seconds": 7_201.0,
    }
    everything = stats(marked_too=True)
    assert (everything.total, everything.marked) == (3, 1)
    assert everything.ages["older"] == 1


def test_a_letter_from_the_future_is_new() -> None:
    """Clocks differ; no age is below 0."""
    found = count([letter_of(at=AT + 60_000)], Marks(), AT / 1_000, marked_too=False)
    assert (found.oldest_seconds, found.ages) == (0.0, {"1m": 1})


def test_the_picture_of_counts() -> None:
    """The table has bars, and its last line tells what was left out."""
    lines = text_of(dlq_stats.as_table("in.dlq", stats(), marked_too=False)).splitlines()
    (row,) = [line for line in lines if "bug" in line]
    assert row.split()[1:5] == ["bug", "│", "1", "│"]
    assert "█" * 15 in row
    assert next(line for line in lines if "< 1 h " in line).count("█") == 0
    assert "".join(lines[-2:]).startswith(
        "2 dead letters in in.dlq, the oldest 7,201 s old; 1 more have been replayed"
    )
    text = text_of(dlq_stats.as_table("in.dlq", stats(marked_too=True), marked_too=True))
    assert "3 dead letters in in.dlq" in text
    assert "1 of them have been replayed" in text
    assert text_of(dlq_stats.as_table("in.dlq", Stats(), marked_too=False)) == (
        "0 dead letters in in.dlq\n"
    )


def test_newest_and_oldest() -> None:
    """The newest or the oldest are shown, in that order; how many fit is told beside."""
    letters = [letter_of(offset=at, at=AT + at) for at in (3, 1, 2, 0)]
    found = glance(letters, most=2)
    assert [each.letter.place.offset for each in found.shown] == [3, 2]
    assert (found.matching, found.marked) == (4, 0)
    found = glance(letters, most=3, oldest=True)
    assert [each.letter.place.offset for each in found.shown] == [0, 1, 2]


def test_letters_that_were_replayed_are_left_out_unless_asked_for() -> None:
    """A marked letter is counted apart, and shown with its replay when all are wanted."""
    letters = [letter_of(), letter_of(offset=1)]
    marks = marks_of((letters[0], MARK))
    found = glance(letters, marks)
    assert ([each.letter.place.offset for each in found.shown], found.marked) == ([1], 1)
    assert "1 more have been replayed and are left out" in text_of(
        dlq_peek.as_text("in.dlq", found, marked_too=False)
    )
    found = glance(letters, marks, marked_too=True)
    assert (found.matching, found.marked) == (2, 1)
    assert "replayed 2023-11-14T22:13:20.005Z to in.replay" in text_of(
        dlq_peek.as_text("in.dlq", found, marked_too=True)
    )


@pytest.mark.parametrize(
    ("kind", "says", "decodes"),
    [
        (LetterKind(value=b"good"), "now: its value decodes\n", True),
        (
            LetterKind(value=b"good", stage="transform"),
            "now: its value decodes; it failed behind that, so try",
            True,
        ),
        (
            LetterKind(value=b"bad"),
            "now: its value does not decode: invalid: field age, should be int",
            False,
        ),
        (LetterKind(cut=True), "now: its value was cut, so nobody can tell", None),
    ],
)
def test_what_is_wrong_now(kind: LetterKind, says: str, decodes: bool | None) -> None:
    """The codec of today is asked; what was cut cannot be judged."""
    found = glance([letter_of(kind)])
    assert says in text_of(dlq_peek.as_text("in.dlq", found, marked_too=False))
    (told,) = json.loads(json.dumps(dlq_peek.as_json(found)))["letters"]
    assert told["decodes_now"] is decodes


def test_a_letter_as_people_see_it() -> None:
    """Place, reason, origin, attempts, frames and sizes, one thing a line."""
    kind = LetterKind(own=(("traceparent", TRACEPARENT),), value=b"good", replays=2)
    letter = letter_of(kind, offset=4)
    letter.record_headers.append((headers.ERROR_FRAMES, b"a.py:1:f\nb.py:2:g"))
    text = text_of(dlq_peek.as_text("in.dlq", glance([letter]), marked_too=False))
    assert text.splitlines() == [
        "✘ in.dlq/2/4  2023-11-14T22:13:20.000Z",
        "  invalid at decode: field app_version, should be N.N.N",
        "  origin in/0/4",
        f"  attempt 1, replays 2, error Reject, group readers, version {VERSION}, trace ",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "  at a.py:1:f",
        "  at b.py:2:g",
        "  key 5 B, value 4 B",
        "  now: its value decodes",
        "",
        "1 of 1 matching dead letters in in.dlq",
    ]


@pytest.mark.parametrize("secret", ["alice", "91.42"])
def test_personal_data_are_shown_only_when_asked_for(secret: str) -> None:
    """Keys and values appear neither in the picture nor in JSON, unless they are asked for."""
    found = glance([letter_of(LetterKind(value=b'{"ip": "91.42"}'))])
    plain = text_of(dlq_peek.as_text("in.dlq", found, marked_too=False))
    assert secret not in plain + json.dumps(dlq_peek.as_json(found))
    shown = text_of(dlq_peek.as_text("in.dlq", found, marked_too=False, show=True))
    assert secret in shown
    assert secret in json.dumps(dlq_peek.as_json(found, show=True))


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_no_content_disturbs_a_terminal(content: bytes) -> None:
    """Whatever somebody has written into a letter, no control character is printed."""
    names = [value for name, value in vars(headers).items() if name.isupper() and name != "ORIGIN"]
    told = [(str(name), content) for name in names]
    letter = Letter(Place("in.dlq", 0, 1), AT, content, content, [*told])
    found = glance([letter])
    counted = count([letter], Marks(), AT / 1_000, marked_too=False)
    for shown in (
        dlq_peek.as_text("in.dlq", found, marked_too=False, show=True),
        dlq_stats.as_table("in.dlq", counted, marked_too=False),
    ):
        assert text_of(shown).replace("\n", "").isprintable()
    json.dumps(dlq_peek.as_json(found, show=True)).encode("ascii")
