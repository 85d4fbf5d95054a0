"""The search for saturation, against pipelines whose limit is known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.latencies import Latencies
from loadtest.search import CLOSE, CONFIRM, GROWTH, Search, Window, judged

WINDOWS = 2_000
TOP = 200_000.0


def window(
    at: int, behind: float, sent: float, seen_ms: float | None = 50, late_ms: int = 1
) -> Window:
    """Return a second in which all that was seen had taken so long."""
    seen = Latencies({round(seen_ms): 1_000}) if seen_ms is not None else Latencies()
    return Window(at, round(behind), round(sent), seen, Latencies({late_ms: 1_000}))


def search_on(
    capacity: float, *, generator: float = TOP, p99_ms: float = 100, step: float = 1
) -> Search:
    """Search on a pipeline that does so many records a second, fed by so fast a generator."""
    search = Search(1_000, TOP, p99_ms, 50, step)
    behind = 0.0
    for at in range(WINDOWS):
        if search.done:
            return search
        sent = min(search.rate, generator)
        behind = max(0.0, behind + sent - capacity)
        late = 0 if search.rate <= generator else 500
        search.see(window(at, behind, sent, 20 + behind / capacity * 1_000, late))
    raise AssertionError(f"no end in {WINDOWS} s: {search}")


@settings(max_examples=200)
@given(st.floats(400, TOP * 0.9))
def test_finds_the_limit(capacity: float) -> None:
    """It ends close to the limit, never above what the pipeline can do for long."""
    found = search_on(capacity).found()
    assert found.best <= capacity * 1.006  # what grows by 0.5 % of the rate counts as flat
    assert found.best >= capacity / CLOSE**2 / 1.03
    assert found.limit in {"piles up", "latency"}
    assert found.trials[-1].seconds == CONFIRM


@settings(max_examples=50)
@given(st.floats(700, TOP * 0.9), st.sampled_from([10, 250, 500]))
def test_goes_by_steps(capacity: float, step: float) -> None:
    """Where only some rates can be sent, it tries none but these, and ends."""
    search = search_on(capacity, step=step)
    assert all(trial.rate % step == 0 for trial in search.trials)
    assert capacity / CLOSE**2 / 1.03 - 2 * step <= search.found().best <= capacity * 1.006


def test_what_holds_for_moments_only() -> None:
    """A rate that held for seconds has to hold for half a minute, or a lower one is found."""
    search = Search(1_000, TOP, 100, 50)
    for at in range(WINDOWS):
        if search.done:
            break
        tired = len(search._windows) > 15 and search.rate > 25_000  # where it stands
        search.see(window(at, 0, search.rate, 500 if tired or search.rate > 30_000 else 20))
    found = search.found()
    assert 25_000 / CLOSE <= found.best <= 25_000
    assert [trial.cause for trial in found.trials if trial.seconds == CONFIRM][-2:] == [
        "latency",
        None,
    ]


def test_bears_everything() -> None:
    """Where nothing gives way, it ends at the top."""
    found = search_on(10 * TOP).found()
    assert (found.best, found.limit) == (TOP, "top")


def test_generator_gives_way() -> None:
    """Where the generator gives way first, the trials say so."""
    found = search_on(10 * TOP, generator=30_000).found()
    assert 30_000 / CLOSE / 1.01 <= found.best <= 30_000
    assert {trial.cause for trial in found.trials} == {None, "generator"}
    assert found.limit == "generator"


def test_never_recovers() -> None:
    """A pipeline that stands still ends the search with what held before."""
    search = Search(1_000, TOP, 100, 50)
    behind = 0
    for second in range(WINDOWS):
        if search.done:
            break
        behind += 0 if second < 20 else round(search.rate)
        search.see(window(second, behind, search.rate, 20 if second < 20 else None))
    assert search.done
    assert search.best == pytest.approx(1_000 * GROWTH)
    assert (search.found().best, search.found().limit) == (0, "unfinished")


def test_a_second_counts_once() -> None:
    """Who is shown the same second twice learns nothing new by it."""
    search = Search(1_000, TOP, 100, 50)
    for _ in range(100):
        search.see(window(7, 0, 1_000))
    assert not search.trials


@pytest.mark.parametrize(
    ("windows", "cause"),
    [
        ([window(at, 10, 1_000) for at in range(6)], None),
        ([window(at, 10, 1_000, 150) for at in range(6)], "latency"),
        ([window(at, 10, 1_000, None if at == 3 else 50) for at in range(6)], "latency"),
        ([window(at, 10, 1_000, 150 if at == 3 else 50) for at in range(6)], "latency"),
        ([window(at, 100 * at, 1_000) for at in range(6)], "piles up"),
        ([window(at, 100 * at, 1_000, 150, 90) for at in range(6)], "generator"),
        ([window(at, 10, 970) for at in range(6)], "generator"),
    ],
)
def test_judged(windows: list[Window], cause: str | None) -> None:
    """A rate holds if the generator keeps up, nothing piles up, and latency stays below."""
    assert judged(windows, 1_000, 100, 50).cause == cause
