"""Rules on a faster clock."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stack.drills.shorten import (
    Clock,
    seconds,
    shortened,
    shortened_duration,
    shortened_expression,
)

CLOCK = Clock(factor=60, window=4, step=1)


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("rate(a_total[10m])", "rate(a_total[10000ms])"),
        ("rate(a_total[1m])", "rate(a_total[4000ms])"),  # no less than some scrapes
        ("max_over_time(a[1h30m])", "max_over_time(a[90000ms])"),
        ("avg_over_time(a[ 6h : 5m ])", "avg_over_time(a[360000ms:5000ms])"),
        ("avg_over_time(a[6h:15s])", "avg_over_time(a[360000ms:1000ms])"),
        ("avg_over_time(a[6h:])", "avg_over_time(a[360000ms:])"),
        ("a - a offset 1h", "a - a offset 60000ms"),
        ("a - a offset -30s", "a - a offset -500ms"),
        ("sum(rate(a[10m] offset 10m))", "sum(rate(a[10000ms] offset 10000ms))"),
        ("pipeline:bad_ratio5m > 0.05 * 5", "pipeline:bad_ratio5m > 0.05 * 5"),
        ("time() - a > 3600", "time() - a > 3600"),
        ('a{le="[5m]", b=~"offset 1h"}', 'a{le="[5m]", b=~"offset 1h"}'),
        ("a{b='\\'[5m]'} and c[1h]", "a{b='\\'[5m]'} and c[60000ms]"),
        ("a[1h] # not [1h]\n+ b[1h]", "a[60000ms] # not [1h]\n+ b[60000ms]"),
        ("offset_seconds > 5", "offset_seconds > 5"),
    ],
)
def test_only_durations_of_an_expression_are_divided(long: str, short: str) -> None:
    """Ranges, steps and offsets are divided; names, strings, comments and thresholds are not."""
    assert shortened_expression(long, CLOCK) == short


def test_a_file_keeps_all_but_its_times() -> None:
    """Of a rule file only times change: waiting, keeping, intervals, and those in expressions."""
    rule = {
        "alert": "Late",
        "expr": "avg_over_time(lag[1h]) > 5",
        "for": "15m",
        "keep_firing_for": "10m",
        "labels": {"severity": "page"},
        "annotations": {"summary": "Late for 15m [1h]"},
    }
    record = {"record": "lag:avg5m", "expr": "avg_over_time(lag[5m])"}
    at_once = {"alert": "Now", "expr": "lag > 5", "for": "0m"}
    file = {"groups": [{"name": "a", "interval": "1m", "rules": [rule, record, at_once]}]}
    short = {**rule, "expr": "avg_over_time(lag[60000ms]) > 5"}
    assert shortened(file, CLOCK) == {
        "groups": [
            {
                "name": "a",
                "interval": "1000ms",
                "rules": [
                    {**short, "for": "15000ms", "keep_firing_for": "10000ms"},
                    {"record": "lag:avg5m", "expr": "avg_over_time(lag[5000ms])"},
                    {**at_once, "for": "0ms"},
                ],
            }
        ]
    }
    assert file["groups"][0]["interval"] == "1m", "what was given is left as it was"


@given(st.lists(st.tuples(st.integers(1, 500), st.sampled_from("smhdw")), min_size=1, max_size=3))
def test_no_time_is_below_the_floor_nor_above_its_share(parts: list[tuple[int, str]]) -> None:
    """A time becomes its share of what it was, or the floor, whichever is longer."""
    long = "".join(f"{number}{unit}" for number, unit in parts)
    short = seconds(shortened_duration(long, CLOCK, CLOCK.window))
    assert short == pytest.approx(max(CLOCK.window, seconds(long) / CLOCK.factor), abs=0.001)


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "-5m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A text that Prometheus would not take for a duration raises."""
    with pytest.raises(ValueError, match=re.escape(f"no duration: {text}")):
        seconds(text)
