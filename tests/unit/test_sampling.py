"""Which records are traced, and the context that they carry."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanternpipe.errors import ConfigError
from lanternpipe.records import Headers
from lanternpipe.telemetry.sampling import (
    DEFAULT_RATIO,
    Parent,
    chosen,
    decides,
    parsed,
    ratio_from,
    replaced,
    threshold,
    written,
)

KEYS = st.none() | st.binary(max_size=40)
NOW = 1_729_741_922_000


@given(st.lists(st.tuples(KEYS, KEYS, st.integers(0, 2**42)), max_size=30), st.floats(0, 1))
def test_a_batch_is_decided_as_each_record_alone(
    records: list[tuple[bytes | None, bytes | None, int]], ratio: float
) -> None:
    """The decision by the batch, in the processor, is that of a record alone, in the producer."""
    limit = threshold(ratio)
    keys, values, times = ([each[part] for each in records] for part in range(3))
    found = chosen(keys, values, times, None, limit)  # type: ignore[arg-type]
    assert [*found] == [place for place, each in enumerate(records) if decides(*each, limit)]


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.1, 0.5])
def test_the_share_is_what_was_asked_for(keyed: bool, ratio: float) -> None:
    """Of many records the share asked for is traced, with and without keys."""
    rng, count = random.Random(1), 100_000
    keys = [b"user-%d" % rng.randrange(500) if keyed else None for _ in range(count)]
    values = [b'{"n": %d}' % number for number in range(count)]
    times = [NOW + number // 20 for number in range(count)]
    kept = len(chosen(keys, values, times, None, threshold(ratio)))
    deviation = (ratio * (1 - ratio) / count) ** 0.5
    assert abs(kept / count - ratio) < 5 * deviation


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (1.0, 3)])
def test_nothing_and_everything(ratio: float, expected: int) -> None:
    """Ratio 0 traces nothing and ratio 1 everything."""
    found = chosen([b"a", None, b"c"], [b"1", None, b"3"], [1, 2, 3], None, threshold(ratio))
    assert len(found) == expected


def test_a_decision_that_a_record_carries_counts() -> None:
    """A sampled context is kept at ratio 0 and an unsampled one dropped at ratio 1."""
    kept, dropped = written(1, 2), b"00-%032x-%016x-00" % (1, 2)
    headers: list[Headers | None] = [[("traceparent", kept)], [("traceparent", dropped)], None]
    columns: tuple[list[bytes | None], list[bytes | None]] = ([b"k"] * 3, [b"v"] * 3)
    assert chosen(*columns, [1] * 3, headers, 0) == {0: Parent(1, 2, sampled=True)}
    assert chosen(*columns, [1] * 3, headers, threshold(1.0)).keys() == {0, 2}


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"",
        b"garbage",
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-" + b"0" * 16 + b"-01",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"\xff\xfe",
    ],
)
def test_what_is_no_context_is_none(text: bytes | None) -> None:
    """A header that does not have the form of the standard is as good as none."""
    assert parsed(text) is None


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1))
def test_a_context_is_read_as_it_was_written(trace_id: int, span_id: int) -> None:
    """What is written as a header is read again, as bytes and as text."""
    text = written(trace_id, span_id)
    assert parsed(text) == parsed(text.decode()) == Parent(trace_id, span_id, sampled=True)


def test_a_header_is_replaced_and_foreign_ones_stay() -> None:
    """There is one context afterwards, however many there were, and all else is left alone."""
    before: Headers = [("traceparent", b"x"), ("a", b"1"), ("traceparent", b"y"), ("a", None)]
    assert replaced(before, b"z") == [("a", b"1"), ("a", None), ("traceparent", b"z")]
    assert len(before) == 4


def test_ratio_from_the_standard_variables() -> None:
    """Samplers that keep a record's decision are known; by default one in a hundred is traced."""
    assert ratio_from({}) == DEFAULT_RATIO
    assert ratio_from({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}) == 1.0
    assert ratio_from({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}) == 0.0
    asked = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    assert ratio_from(asked) == 0.25


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"OTEL_TRACES_SAMPLER": "always_on"}, "parentbased_always_on"),
        ({"OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG=2"),
        ({"OTEL_TRACES_SAMPLER_ARG": "x"}, "from 0 to 1"),
    ],
)
def test_other_samplers_are_refused(variables: dict[str, str], named: str) -> None:
    """What would not keep a decision, or is no share, is refused with what would be right."""
    with pytest.raises(ConfigError, match=named):
        ratio_from(variables)
