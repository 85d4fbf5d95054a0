"""The search for saturation, against pipelines whose limit is known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.search import CLOSE, GROWTH, Search, Window, judged

WINDOWS = 2_000
TOP = 200_000.0


def search_on(capacity: float, *, generator: float = TOP, p99_ms: float = 100) -> Search:
    """Search on a pipeline that does so many records a second, fed by so fast a generator."""
    search = Search(1_000, TOP, p99_ms, 50)
    behind = 0.0
    for _ in range(WINDOWS):
        if search.done:
            return search
        sent = min(search.rate, generator)
        behind = max(0.0, behind + sent - capacity)
        late = 0 if search.rate <= generator else 500
        search.see(Window(round(behind), 20 + behind / capacity * 1_000, late))
    raise AssertionError(f"no end in {WINDOWS} s: {search}")


@settings(max_examples=200)
@given(st.floats(400, TOP * 0.9))
def test_finds_the_limit(capacity: float) -> None:
    """It ends close to the limit, never above what the pipeline can do for long."""
    search = search_on(capacity)
    assert search.best <= capacity * 1.03  # what grows by 2 % of the rate counts as flat
    assert search.best >= capacity / CLOSE / 1.03


def test_bears_everything() -> None:
    """Where nothing gives way, it ends at the top."""
    assert search_on(10 * TOP).best == TOP


def test_generator_gives_way() -> None:
    """Where the generator gives way first, the trials say so."""
    search = search_on(10 * TOP, generator=30_000)
    assert 30_000 / CLOSE / 1.01 <= search.best <= 30_000
    assert {trial.cause for trial in search.trials} == {None, "generator"}


def test_never_recovers() -> None:
    """A pipeline that stands still ends the search with what held before."""
    search = Search(1_000, TOP, 100, 50)
    behind = 0
    for second in range(WINDOWS):
        if search.done:
            break
        behind += 0 if second < 20 else round(search.rate)
        search.see(Window(behind, 20 if second < 20 else None, 0))
    assert search.done
    assert search.best == pytest.approx(1_000 * GROWTH)


@pytest.mark.parametrize(
    ("windows", "cause"),
    [
        ([Window(10, 50, 1)] * 6, None),
        ([Window(10, 150, 1)] * 6, "latency"),
        ([Window(10, None, 1)] * 6, "latency"),
        ([Window(100 * at, 50, 1) for at in range(6)], "piles up"),
        ([Window(100 * at, 150, 90) for at in range(6)], "generator"),
    ],
)
def test_judged(windows: list[Window], cause: str | None) -> None:
    """A rate holds if the generator keeps up, nothing piles up, and latency stays below."""
    assert judged(windows, 1_000, 100, 50) == cause
