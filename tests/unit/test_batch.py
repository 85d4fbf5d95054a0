"""What becomes of a run of records: one outcome each, nothing lost on the way."""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanternpipe.errors import Reject, Retry
from lanternpipe.pipeline import Context, Output, Skip
from lanternpipe.records import Headers, Outgoing, Records, TopicPartition
from lanternpipe.runtime.columns import attempt
from lanternpipe.runtime.plan import Plan
from lanternpipe.testing.fake_broker import Stored, run_of
from tests.unit.words import CTX, LIMIT, Shout, Word, transform, word_planner

SOURCE = TopicPartition("words", 3)
KINDS = ("good", "skip", "reject", "bug", "large", "two", "none", "wrapped")
SPOILT = (
    *("poison", "tombstone", "unencodable"),
    *("wrong", "elsewhere", "textkey", "oddtopic"),
)
CAUSES = {
    "reject": ("unwanted", "transform", "Reject"),
    "bug": ("bug", "transform", "KeyError"),
    "large": ("too_large", "produce", "MSG_SIZE_TOO_LARGE"),
    "wrong": ("bug", "transform", "Returnedstr"),
    "textkey": ("bug", "transform", "Keystr"),
    "oddtopic": ("bug", "transform", "TypeError"),
    "elsewhere": ("bug", "transform", "UndeclaredTopic"),
    "poison": ("undecodable", "decode", "Reject"),
    "tombstone": ("tombstone", "decode", "Reject"),
    "unencodable": ("bug", "encode", "TypeError"),
}
HEADERS = st.none() | st.lists(
    st.tuples(st.sampled_from(["trace", "a"]), st.none() | st.binary(max_size=4)), max_size=2
)
ERRORS = st.sampled_from([ValueError, KeyError, Reject, RecursionError, OSError, AssertionError])


def stored(kind: str, number: int, key: bytes | None, headers: Headers | None) -> Stored:
    """Return a record of a kind; no two have the same value."""
    value = None if kind == "tombstone" else f"{kind}:{number}".encode()
    return Stored(value, key, 1_000 + number, headers)


@st.composite
def runs(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS + SPOILT) -> tuple[list[str], Records]:
    """Draw a run of records, with gaps between offsets, and the kinds of its records."""
    drawn = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=12))
    offset, found = draw(st.integers(0, 1_000)), []
    for number, kind in enumerate(drawn):
        key, headers = draw(st.none() | st.binary(max_size=3)), draw(HEADERS)
        found.append((offset, stored(kind, number, key, headers)))
        offset += draw(st.integers(1, 3))
    return drawn, run_of(SOURCE, found)


def rows(batch: Outgoing) -> list[tuple[bytes | None, bytes | None, int, Headers]]:
    """Return a batch by rows; no headers and empty headers are the same on the wire."""
    headers = batch.headers or [None] * len(batch)
    return [
        (key, value, stamp, each or [])
        for key, value, stamp, each in zip(
            batch.keys, batch.values, batch.timestamps, headers, strict=True
        )
    ]


def to(plan: Plan, topic: str) -> list[tuple[bytes | None, bytes | None, int, Headers]]:
    """Return all that is to be produced to a topic."""
    return [row for batch in plan.outgoing if batch.topic == topic for row in rows(batch)]


@given(st.lists(st.none() | ERRORS, max_size=20))
def test_attempt_is_the_naive_loop(script: list[type[Exception] | None]) -> None:
    """Whatever subset of calls raises, results and failures are those of a loop one by one."""

    def function(place: int, addend: int) -> int:
        if (kind := script[place]) is not None:
            raise kind(f"at {place}")
        return place + addend

    columns = range(len(script)), [1_000] * len(script)
    results, failures = attempt(function, *columns)
    assert results == [None if kind else place + 1_000 for place, kind in enumerate(script)]
    assert {place: type(error) for place, error in failures.items()} == {
        place: kind for place, kind in enumerate(script) if kind
    }
    assert all(error.args == (f"at {place}",) for place, error in failures.items())


def test_attempt_survives_stop_iteration() -> None:
    """A function that raises StopIteration, as a bare ``next`` does, fails at its place alone."""

    def function(place: int) -> int:
        return next(iter([] if place == 1 else [place]))

    results, failures = attempt(function, range(3))
    assert results == [0, None, 2]
    assert [(at, type(error)) for at, error in failures.items()] == [(1, StopIteration)]


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_attempt_lets_through_what_concerns_the_process(error: type[BaseException]) -> None:
    """What says something about the process and nothing about the record is not kept."""

    def function(place: int) -> int:
        raise error

    with pytest.raises(error):
        attempt(function, [1])


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, CancelledError])
def test_attempt_keeps_what_only_looks_like_the_end(error: type[BaseException]) -> None:
    """Code of a user that calls ``sys.exit`` or the like fails for its record, not for all."""

    def function(place: int) -> int:
        if place == 1:
            raise error
        return place

    results, failures = attempt(function, [0, 1, 2])
    assert results == [0, None, 2]
    assert type(failures[1]) is error


@given(runs())
def test_every_record_has_exactly_one_outcome(drawn: tuple[list[str], Records]) -> None:
    """Processed, filtered and dead-lettered records add up, each under its own reason."""
    kinds, records = drawn
    plan = word_planner().plan(records, CTX)
    assert plan.processed == sum(kind in {"good", "two", "wrapped"} for kind in kinds)
    assert plan.filtered == +Counter(short=kinds.count("skip"), no_output=kinds.count("none"))
    dead = [kind for kind in kinds if kind in CAUSES]
    assert plan.dead_lettered == Counter(CAUSES[kind][0] for kind in dead)
    assert [(cause.kind, cause.stage, cause.error) for _, cause in plan.causes] == [
        CAUSES[kind] for kind in dead
    ]
    assert plan.processed + plan.filtered.total() + plan.dead_lettered.total() == len(records)


@given(runs())
def test_outputs_keep_order_key_time_and_headers(drawn: tuple[list[str], Records]) -> None:
    """Outputs of each topic stand in the order of inputs, with key, timestamp and headers."""
    kinds, records = drawn
    plan = word_planner().plan(records, CTX)
    headers = records.headers or [None] * len(records)
    inputs = list(
        zip(kinds, records.keys, records.values, records.timestamps, headers, strict=True)
    )
    assert to(plan, "shouts-v2") == [
        (key, value, stamp, each or [])
        for kind, key, value, stamp, each in inputs
        if kind in {"good", "two", "wrapped"}
    ]
    assert to(plan, "whispers-v2") == [
        (b"other", value, stamp, each or [])
        for kind, _, value, stamp, each in inputs
        if kind == "two"
    ]


@given(runs())
def test_dead_letters_are_the_originals(drawn: tuple[list[str], Records]) -> None:
    """A dead letter has the original key, value and headers, ours behind them, and no time."""
    kinds, records = drawn
    plan = word_planner().plan(records, CTX)
    places = [place for place, kind in enumerate(kinds) if kind in CAUSES]
    letters = to(plan, "words.dlq")
    assert len(letters) == len(places)
    for place, (key, value, stamp, headers) in zip(places, letters, strict=True):
        original = (records.headers[place] if records.headers else None) or []
        ours = dict(headers[len(original) :])
        assert (key, value, stamp) == (records.keys[place], records.values[place], 0)
        assert headers[: len(original)] == original
        assert all(name.startswith("pipeline-") for name in ours)
        assert ours["pipeline-origin-offset"] == b"%d" % records.offsets[place]
        assert ours["pipeline-error-kind"] == CAUSES[kinds[place]][0].encode()


@given(runs())
def test_no_value_of_a_record_is_in_our_headers(drawn: tuple[list[str], Records]) -> None:
    """Headers that we add say where and what, and never repeat what stood in the record."""
    _, records = drawn
    secret = [None if value is None else value + b"-s3cret" for value in records.values]
    spoilt = Records(SOURCE, records.offsets, records.keys, secret, records.timestamps)
    for _, value, _, headers in to(word_planner().plan(spoilt, CTX), "words.dlq"):
        assert value is None or b"s3cret" in value
        assert b"s3cret" not in b"".join(content or b"" for _, content in headers)


@given(st.lists(runs(("good", "skip", "two", "none", "wrapped")) | runs(), min_size=1, max_size=4))
def test_several_runs_are_planned_as_each_by_itself(drawn: list[tuple[list[str], Records]]) -> None:
    """Runs of several partitions give the same outputs and counts as one; not if any fails."""
    each = [
        replace(records, source=TopicPartition("words", number))
        for number, (_, records) in enumerate(drawn)
    ]
    plans = [word_planner().plan(records, CTX) for records in each]
    plan = word_planner().plan_several(Records.joined(each), CTX, enter=lambda _: None)
    if any(one.causes for one in plans):
        assert plan is None
        return
    assert plan is not None
    for topic in ("shouts-v2", "whispers-v2"):
        assert to(plan, topic) == [row for one in plans for row in to(one, topic)]
    assert plan.processed == sum(one.processed for one in plans)
    assert plan.filtered == sum((one.filtered for one in plans), Counter())
    assert [plan.dead_lettered, plan.retried, plan.held] == [Counter(), Counter(), None]


def test_several_runs_are_not_planned_as_one_where_one_wants_another_attempt() -> None:
    """What a retry means is a matter of its partition."""

    def early(_word: Word, _ctx: Context[Any]) -> Shout:
        raise Retry("early")

    run = run_of(SOURCE, [(0, Stored(b"good:0", None, 1))])
    planner = word_planner(transform=early)
    assert planner.plan_several(Records.joined([run, run]), CTX, enter=lambda _: None) is None


@given(runs(("good", "skip", "reject", "bug", "large", "poison", "tombstone", "unencodable")))
def test_both_paths_give_the_same(drawn: tuple[list[str], Records]) -> None:
    """Returning an event and returning it as ``Output`` give the same plan."""
    _, records = drawn

    def wrapping(word: Word, ctx: Any) -> Any:
        result = transform(word, ctx)
        return result if type(result) is Skip else Output(result)

    fast = word_planner().plan(records, CTX)
    general = word_planner(transform=wrapping).plan(records, CTX)
    for topic in ("shouts-v2", "words.dlq"):
        if topic == "shouts-v2":
            assert to(fast, topic) == to(general, topic)
        else:  # but for the frames, which tell of one function more
            assert [row[:3] for row in to(fast, topic)] == [row[:3] for row in to(general, topic)]
    assert fast.processed == general.processed
    assert fast.filtered == general.filtered
    assert fast.dead_lettered == general.dead_lettered


@given(runs(), st.sets(st.integers(0, 11)))
def test_condemned_records_are_not_tried_again(
    drawn: tuple[list[str], Records], places: set[int]
) -> None:
    """A record whose output the broker refuses goes to the dead letters with the broker's code."""
    _, records = drawn
    seen: list[str] = []

    def noting(word: Word, ctx: Any) -> Any:
        seen.append(word.text)
        return transform(word, ctx)

    condemned = {records.offsets[at]: "INVALID_RECORD" for at in places if at < len(records)}
    plan = word_planner(transform=noting).plan(records, CTX, condemned)
    causes = dict(plan.causes)
    for offset in condemned:
        cause = causes[offset]
        assert (cause.kind, cause.stage, cause.error) == (
            "unproducible",
            "produce",
            "INVALID_RECORD",
        )
    values = dict(zip(records.offsets, records.values, strict=True))
    assert not {(values[offset] or b"").decode() for offset in condemned} & set(seen)
    assert plan.processed + plan.filtered.total() + len(causes) == len(records)


def test_a_bug_is_told_with_its_frames() -> None:
    """An exception that nobody expected carries where it was raised, innermost last."""
    plan = word_planner().plan(run_of(SOURCE, [(7, Stored(b"bug:x"))]), CTX)
    ((offset, cause),) = plan.causes
    assert offset == 7
    file, line, function = cause.frames[-1].rsplit(":", 2)
    assert (file, function) == ("tests/unit/words.py", "transform")
    assert line.isdigit()


def test_one_output_of_several_spoils_the_record() -> None:
    """When one of several outputs cannot be sent, none is, and the record is a dead letter."""

    def two(word: Word, ctx: Any) -> Any:
        return [Shout(word.text), Output(Shout("x"), topic="undeclared")]

    plan = word_planner(transform=two).plan(run_of(SOURCE, [(0, Stored(b"a"))]), CTX)
    assert [batch.topic for batch in plan.outgoing] == ["words.dlq"]
    assert plan.processed == 0


@pytest.mark.parametrize("wrap", [False, True], ids=["event", "Output"])
@pytest.mark.parametrize("where", ["value", "key", "headers"])
def test_size_counts_value_key_and_headers(where: str, wrap: bool) -> None:
    """A record is too large when value, key and headers together are, at once or one by one."""
    big = b"x" * LIMIT
    parts: dict[str, Any] = {"value": b"v", "key": b"k", "headers": [("h", b"h")]}
    parts[where] = [("h", big)] if where == "headers" else big
    make = {"transform": lambda word, _: Output(Shout(word.text))} if wrap else {}
    plan = word_planner(**make).plan(run_of(SOURCE, [(0, Stored(**parts))]), CTX)
    assert plan.dead_lettered == {"too_large": 1}
    assert plan.causes[0][1].limit == str(LIMIT)


def test_a_run_of_good_records_is_one_batch_without_headers() -> None:
    """Where no record has headers, none are made: reading and passing them costs throughput."""
    run = run_of(SOURCE, [(at, Stored(b"good:%d" % at, b"k", at)) for at in range(5)])
    (batch,) = word_planner().plan(run, CTX).outgoing
    assert batch == Outgoing("shouts-v2", run.keys, run.values, run.timestamps, None)
