"""What the benchmarks make of what they have seen."""

from __future__ import annotations

import math

import pytest

from benchmarks.broker import sample_values
from benchmarks.costs import BASE, CASES, table
from benchmarks.drain import Run, Sample, Window, summary
from benchmarks.rounds import paired, ratios, spread

RECORDS = 1_000


def steady(seconds: int, *, first: float = 2.0) -> list[Sample]:
    """Return a run that does ten records a second from a moment on, at 0.1 CPU seconds each."""
    return [
        Sample(float(at), max(0.0, (at - first) * 10), max(0.0, at - first), at / 2, at * 2.0)
        for at in range(seconds)
    ]


def run(contender: str, cpu_us: float) -> Run:
    """Return a run that cost so much."""
    return Run(contender, 1_000.0, cpu_us, 0.5, 100.0, 1.0, 0.0)


def test_window_skips_the_warm_up() -> None:
    """What was done within so many seconds of the first output does not count."""
    counted = Window(low=0.0, skip=10.0, most=12.0).of(steady(60), RECORDS)

    assert (counted[0].at, counted[-1].at) == (13.0, 25.0)


def test_window_leaves_out_both_ends() -> None:
    """By default a run counts between 15 % and 95 % of the records."""
    counted = Window().of(steady(120), RECORDS)

    assert (counted[0].done, counted[-1].done) == (150.0, 950.0)


def test_window_of_nothing() -> None:
    """Who has written nothing has no part that counts."""
    assert Window().of(steady(5, first=math.inf), RECORDS) == []


def test_summary_counts_the_window_alone() -> None:
    """Speed, CPU time and what others took are those of the part that counts."""
    samples = steady(120)

    found = summary("one", samples, Window().of(samples, RECORDS), 100.0)

    assert found.records_per_second == pytest.approx(10)
    assert found.cpu_us == pytest.approx(0.1e6)
    assert found.broker_cpu_us == pytest.approx(0.05e6)
    assert found.foreign_cores == pytest.approx(0.5)
    assert found.first_s == 3.0


def test_summary_of_too_little() -> None:
    """A run that was over before it could be measured is refused."""
    with pytest.raises(SystemExit, match="give more records"):
        summary("one", steady(120), steady(120)[:3], 100.0)


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that got slower between rounds, in whatever order they ran, changes no ratio."""
    rounds = [[run("bare", 2.0), run("ours", 3.0)], [run("ours", 6.0), run("bare", 4.0)]]

    assert ratios(rounds, "ours", "bare") == [1.5, 1.5]
    assert [one.cpu_us for one, _ in paired(rounds, "ours", "bare")] == [3.0, 6.0]
    assert spread([1.0, 3.0, 2.0]) == "2.00 (1.00 to 3.00)"


@pytest.mark.parametrize("size", [1_000, 1_001, 10_000])
def test_records_of_a_size(size: int) -> None:
    """Sample records can be had in a size, to the byte."""
    assert {len(value) for _, value in sample_values(20, filtered=0.5, size=size)} == {size}


def test_costs_compare_with_the_first_case() -> None:
    """Every case has a row, and its ratio is that to the first."""
    rounds = [[run(case.name, 2.0 if case is BASE else 3.0) for case in CASES]]

    rows = table(rounds).splitlines()[2:]

    assert len(rows) == len(CASES)
    assert all("1.50 (1.50 to 1.50)" in row for row in rows[1:])
