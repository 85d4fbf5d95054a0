"""What the benchmarks make of what they have seen."""

from __future__ import annotations

import math

import pytest

from benchmarks.broker import sample_values
from benchmarks.costs import BASE, CASES, table
from benchmarks.drain import Run, Sample, Window, summary
from benchmarks.latency import Run as LatencyRun
from benchmarks.latency import table as latency_table
from benchmarks.machine import TRIES, calm
from benchmarks.peers.sameness import difference, due
from benchmarks.rounds import order, paired, ratios, spread

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
        summary("one", steady(120), steady(120)[:1], 100.0)


def test_outputs_in_lumps_cost_what_they_cost() -> None:
    """Outputs that are seen only every seven seconds make no work look dearer than it is."""
    lumps = [each._replace(done=each.done // 70 * 70) for each in steady(120)]

    found = summary("one", lumps, Window().of(lumps, RECORDS), 100.0)

    assert found.cpu_us == pytest.approx(0.1e6)
    assert found.records_per_second == pytest.approx(10)


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


def test_order_changes() -> None:
    """Each round has everybody, in an order of its own, and the same one in every run."""
    rounds = [order("abcdef", number) for number in range(5)]

    assert {"".join(sorted(each)) for each in rounds} == {"abcdef"}
    assert len({*map(tuple, rounds)}) == 5
    assert rounds == [order("abcdef", number) for number in range(5)]


def latency(*, foreign: float = 0.0, missing: int = 0, p99: float = 20.0) -> LatencyRun:
    """Return a run."""
    return LatencyRun("one", 10.0, p99, 30.0, 0.1, 0.4, foreign, missing, 2 * missing, 1.6)


def test_latency_table_tells_what_is_missing() -> None:
    """Medians, how far runs differ, and what was not seen or seen twice."""
    shown = latency_table([latency(), latency(p99=40, missing=3), latency(p99=21)], ["one"])

    assert "| one | 10 | 21 (20 to 40) | 30 | 10% | 40% |" in shown
    assert "3 records were not seen in time, and 6 twice; in the worst run 99 %" in shown
    assert "within 2 ms" in shown


def test_noisy_runs_are_made_again() -> None:
    """A run during which others used the machine is made again, but not for ever."""
    runs = iter([latency(foreign=0.4), latency(foreign=0.1), latency()])
    assert calm(lambda: next(runs)).foreign_cores == 0.1
    noisy = iter([latency(foreign=0.4)] * TRIES)
    assert calm(lambda: next(noisy)).foreign_cores == 0.4
    assert next(noisy, None) is None


def test_same_work() -> None:
    """Who leaves out an output, makes one too many, or makes another one does other work."""
    records = sample_values(40, filtered=0.5)
    expected = due(records)
    made = [
        (key, value[:-1] + b',"processed_timestamp":1}')
        for key, value in records
        if key in expected
    ]

    assert 0 < len(expected) < 40
    assert difference(expected, made) == ""
    assert "1 outputs are missing" in difference(expected, made[1:])
    assert "1 outputs are too many" in difference(expected, [*made, made[0]])
    dropped = next((key, value) for key, value in records if key not in expected)
    assert "1 outputs are too many" in difference(expected, [*made, dropped])
    assert "no processed_timestamp" in difference(
        expected, [(made[0][0], made[0][1].replace(b"processed_", b"")), *made[1:]]
    )
    other = (made[0][0], made[0][1].replace(b'"locale":"', b'"locale":"x'))
    assert "in place of" in difference(expected, [other, *made[1:]])
