"""The envelope of dead letters: the original untouched, and what went wrong beside it."""

from __future__ import annotations

from hashlib import sha256
from types import TracebackType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanternpipe.errors import Reject
from lanternpipe.headers import EVENT_ID
from lanternpipe.records import Headers, TopicPartition
from lanternpipe.runtime.deadletter import (
    HEADER_BYTES,
    MAX_FRAMES,
    Cause,
    DeadLetters,
    frames,
)
from lanternpipe.testing.fake_broker import Stored, run_of
from lanternpipe.version import VERSION

SOURCE = TopicPartition("logins", 5)
LETTERS = DeadLetters("logins.dlq", "readers", 100_000)
BUG = Cause("bug", "transform", "KeyError", frames=("a.py:1:f", "b.py:2:g"), text="'s3cret'")


def envelope(stored: Stored, cause: Cause, letters: DeadLetters = LETTERS) -> dict[str, bytes]:
    """Return the headers that are added to a letter."""
    sent = letters.envelope(run_of(SOURCE, [(42, stored)]), [0], [cause])
    assert sent.headers is not None
    added = (sent.headers[0] or [])[len(stored.headers or []) :]
    names = [name for name, _ in added]
    assert len(names) == len(set(names)), "a header twice"
    return {name: content or b"" for name, content in added}


def raised(depth: int) -> TracebackType | None:
    """Return the trace of an exception that was raised so many calls deep."""

    def fall(left: int) -> None:
        if not left:
            raise ValueError("s3cret")
        fall(left - 1)

    try:
        fall(depth)
    except ValueError as error:
        return error.__traceback__
    return None


def test_every_header_of_a_letter() -> None:
    """A letter says where the record came from, who gave up on it, and why."""
    cause = Cause("invalid", "decode", "Reject", "app_version", "N.N.N")
    assert envelope(Stored(b"v", b"k", 1_700), cause) == {
        "pipeline-event-id": b"logins/5/42",
        "pipeline-origin-topic": b"logins",
        "pipeline-origin-partition": b"5",
        "pipeline-origin-offset": b"42",
        "pipeline-origin-timestamp": b"1700",
        "pipeline-group": b"readers",
        "pipeline-error-kind": b"invalid",
        "pipeline-error-class": b"Reject",
        "pipeline-error-field": b"app_version",
        "pipeline-error-limit": b"N.N.N",
        "pipeline-stage": b"decode",
        "pipeline-attempt": b"1",
        "pipeline-version": VERSION.encode(),
    }


def test_frames_are_told_and_the_text_is_not() -> None:
    """By default the text of an exception, which may hold values, is left out; frames are not."""
    headers = envelope(Stored(b"v"), BUG)
    assert headers["pipeline-error-frames"] == b"a.py:1:f\nb.py:2:g"
    assert "pipeline-error-text" not in headers


def test_full_detail_adds_the_text() -> None:
    """An operator may ask for the text of the exception."""
    full = DeadLetters("logins.dlq", "readers", 100_000, full_detail=True)
    assert envelope(Stored(b"v"), BUG, full)["pipeline-error-text"] == b"'s3cret'"


def test_a_carried_event_id_stays() -> None:
    """A record that carries an event id, as after a replay, keeps it and gets no second one."""
    headers: Headers = [(EVENT_ID, b"logins/0/1")]
    assert EVENT_ID not in envelope(Stored(b"v", headers=headers), BUG)


@given(
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
    st.none() | st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5))),
)
def test_the_original_is_untouched(
    value: bytes | None, key: bytes | None, headers: Headers | None
) -> None:
    """Whatever key, value and headers a record has, its letter has the same, in the same order."""
    records = run_of(SOURCE, [(0, Stored(b"other")), (1, Stored(value, key, 99, headers))])
    sent = LETTERS.envelope(records, [1], [BUG])
    assert (sent.topic, sent.keys, sent.values) == ("logins.dlq", [key], [value])
    assert sent.headers is not None
    assert (sent.headers[0] or [])[: len(headers or [])] == (headers or [])
    assert sent.timestamps == [0], "retention would delete an old record's letter at once"


def test_a_rejection_is_taken_over_as_it_is() -> None:
    """The cause of a ``Reject`` is its own reason, field and limit, without frames."""
    cause = Cause.of(Reject("too_young", field="age", limit=">= 18"), "transform")
    assert cause == Cause("too_young", "transform", "Reject", "age", ">= 18")


def test_an_unexpected_exception_is_a_bug() -> None:
    """Any other exception is a bug, with its class."""
    cause = Cause.of(ZeroDivisionError("1/0"), "transform")
    assert (cause.kind, cause.error, cause.text) == ("bug", "ZeroDivisionError", "1/0")


def test_an_exception_without_words_is_still_a_bug() -> None:
    """An exception whose own text cannot be had is described all the same."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert Cause.of(MuteError(), "transform").error.endswith("MuteError")


@pytest.mark.parametrize("text", ["\ud800", "x" * 5_000_000], ids=["surrogate", "endless"])
def test_any_text_becomes_a_header_of_bounded_size(text: str) -> None:
    """Text that is no UTF-8, or has no end, is sent as far as possible."""
    full = DeadLetters("logins.dlq", "readers", 100_000, full_detail=True)
    headers = envelope(Stored(b"v"), Cause("bug", "transform", "ValueError", text=text), full)
    assert 0 < len(headers["pipeline-error-text"]) <= 10_000


def test_frames_are_the_innermost_and_bounded() -> None:
    """Of a deep stack the innermost frames are told, as many as fit."""
    found = frames(raised(depth=50))
    assert len(found) == MAX_FRAMES
    assert all(
        each.rsplit(":", 2)[::2] == ["tests/unit/test_deadletter.py", "fall"] for each in found
    )


def test_frames_do_not_tell_where_the_program_is_installed() -> None:
    """File names are cut to what an import path shows, and hold no values."""
    for frame in frames(raised(depth=0)):
        assert not frame.startswith("/")
        assert "s3cret" not in frame


@given(st.binary(max_size=300), st.binary(max_size=300), st.sampled_from([0, 100, 300, 100_000]))
def test_a_letter_fits_into_its_topic(value: bytes, key: bytes, more: int) -> None:
    """A letter that fits is left as it is; else parts are cut, with their size and hash told."""
    letters = DeadLetters("logins.dlq", "readers", HEADER_BYTES + more)
    stored = Stored(value, key, headers=[("h", b"12345")])
    sent = letters.envelope(run_of(SOURCE, [(0, stored)]), [0], [BUG])
    (kept,), (kept_key,) = sent.values, sent.keys
    headers = dict((sent.headers or [[]])[0] or [])
    assert value.startswith(kept or b"")
    assert key.startswith(kept_key or b"")
    room = max(0, more)
    if len(value) + len(key) + 6 <= room:
        assert (kept, kept_key, headers["h"]) == (value, key, b"12345")
    parts = {"value": (value, kept), "key": (key, kept_key)}
    parts["headers"] = (b"h12345", b"h12345" if "h" in headers else b"")
    assert sum(len(left or b"") for _, left in parts.values()) <= room
    for part, (whole, left) in parts.items():
        assert (f"pipeline-{part}-bytes" in headers) is (whole != left)
        if whole != left:
            assert headers[f"pipeline-{part}-bytes"] == b"%d" % len(whole)
            assert headers[f"pipeline-{part}-sha256"] == sha256(whole).hexdigest().encode()


@given(st.text(), st.text())
def test_our_headers_stay_within_their_room(kind: str, text: str) -> None:
    """However long a reason or a text is, what we add leaves the room for it that is reckoned."""
    full = DeadLetters("logins.dlq", "readers", 10_000_000, full_detail=True)
    cause = Cause(kind * 10_000, "transform", kind * 10_000, text=text * 10_000)
    headers = envelope(Stored(b"v"), cause, full)
    assert sum(len(name) + len(content) for name, content in headers.items()) < HEADER_BYTES
