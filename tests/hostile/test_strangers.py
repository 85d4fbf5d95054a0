"""Whatever a stranger sends: the right outcome, and never an exception that nobody expected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lanternpipe.codec.json import JsonCodec
from lanternpipe.letter import Letter
from lanternpipe.records import Headers, Place, Records
from lanternpipe.runtime.hops import credible, split, unwrapped
from lanternpipe.testing import Drill
from logins.events import UserLogin
from logins.pipeline import pipeline
from tests.hostile import checks
from tests.hostile.events import Strict, Varied
from tests.hostile.strategies import (
    CONTENTS,
    ENVIRONMENTS,
    HEADERS,
    JSON,
    KEYS,
    LETTERS,
    MARKS,
    TIMES,
    VALUES,
    runs,
    spoilt,
)

PLANNER = checks.logins_planner()
LOGINS = JsonCodec(UserLogin)
LARGE = settings(
    max_examples=200,
    deadline=2_000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("event", [UserLogin, Varied, Strict], ids=lambda kind: kind.__name__)
@LARGE
@given(value=VALUES | JSON)
def test_values(event: type[Any], value: bytes | None) -> None:
    """A value is an event of its type, or there is a reason that repeats nothing of it."""
    checks.an_event_or_a_reason(JsonCodec(event), value)


@LARGE
@given(spoilt())
def test_logins_are_read_as_any_other_reader_would(value: bytes) -> None:
    """What we take for a login is JSON to the standard library too, with the same fields."""
    if checks.an_event_or_a_reason(LOGINS, value) is None:
        told, event = json.loads(value.decode()), LOGINS.decode(value)
        assert {name: str(told[name]) for name in UserLogin.__struct_fields__} == {
            name: str(getattr(event, name)) for name in UserLogin.__struct_fields__
        }


@LARGE
@given(runs())
def test_runs_of_records(records: Records) -> None:
    """Each record of a run has one outcome, also with the headers of another hop on it."""
    checks.one_outcome_each(PLANNER, records)


@LARGE
@given(st.lists(st.tuples(VALUES, KEYS, TIMES, HEADERS), min_size=1, max_size=8), st.integers())
def test_the_whole_way(
    sent: list[tuple[bytes | None, bytes | None, int, Headers]], seed: int
) -> None:
    """Through the loop, with crashes and rebalances, each record gets to one end, exactly once."""
    drill = Drill(pipeline, runtime={"deadletter": {"breaker": {"enabled": False}}})
    for value, key, time, headers in sent:
        drill.send(value=value, key=key, timestamp=time, headers=headers or None, partition=0)
    drill.storm(seed % 2**32)
    assert len(drill.fates) == len(sent)
    assert not drill.retried


@LARGE
@given(HEADERS)
def test_headers_of_other_hops(headers: Headers) -> None:
    """Of headers with our names what cannot be is left out, and those of others stay in order."""
    foreign, own = split(headers)
    believed = credible(own)
    assert believed.items() <= own.items()
    names = [name for name, _ in headers if not name.startswith("pipeline-")]
    assert [name for name, _ in foreign if not name.startswith("pipeline-")] == names


@LARGE
@given(runs())
def test_records_of_retry_topics(records: Records) -> None:
    """A record that claims to come from another hop is as much a record as any."""
    checks.one_outcome_each(PLANNER, unwrapped(records))


@LARGE
@given(CONTENTS | st.text(max_size=60))
def test_trace_contexts(content: bytes | str | None) -> None:
    """What should be a trace context is one, or is none."""
    checks.a_context_or_none(content)


@LARGE
@given(LETTERS, MARKS)
@example(Letter(Place("words.dlq", 0, 0), 0, None, None, []), b"[" * 100_000)
def test_letters(letter: Letter, mark: bytes | None) -> None:
    """Letters and marks that somebody else has written can be counted, shown and replayed."""
    checks.a_letter_is_read(letter, mark)


@LARGE
@given(ENVIRONMENTS)
@example({"PIPELINE_KAFKA": "[" * 100_000})
@example({"PIPELINE_APP": "\udcff"})
def test_environments(given: dict[str, str]) -> None:
    """Whatever the environment holds, settings are loaded, or a sentence names the variable."""
    checks.settings_or_a_sentence(given)
