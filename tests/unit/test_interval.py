"""How long to wait between commits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lanternpipe.runtime.interval import WORK_PER_COMMIT, CommitInterval, Pace

BOUNDS = st.tuples(st.floats(0.001, 10), st.floats(0.001, 10)).map(sorted)
COMMITS = st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=50)


def settled(interval: CommitInterval, commit: float, *, behind: bool) -> float:
    """Return where the interval ends when all commits are alike."""
    for _ in range(50):
        interval.observe(commit, behind=behind)
    return interval.seconds


@given(BOUNDS, COMMITS)
def test_never_out_of_bounds(bounds: list[float], commits: list[tuple[float, bool]]) -> None:
    """Whatever commits take, the interval stays between shortest and longest."""
    shortest, longest = bounds
    interval = CommitInterval(shortest, longest)
    for seconds, behind in commits:
        interval.observe(seconds, behind=behind)
        assert shortest <= interval.seconds <= longest


@given(BOUNDS, COMMITS)
def test_no_jump(bounds: list[float], commits: list[tuple[float, bool]]) -> None:
    """One commit at most doubles or halves the interval."""
    interval = CommitInterval(*bounds)
    for seconds, behind in commits:
        before = interval.seconds
        interval.observe(seconds, behind=behind)
        assert before / 2 <= interval.seconds <= before * 2


def test_long_while_behind_and_short_when_caught_up() -> None:
    """While behind the interval grows to the longest, and when caught up it falls back."""
    interval = CommitInterval(0.05, 1.0)
    assert settled(interval, 0.001, behind=True) == 1.0
    assert settled(interval, 0.001, behind=False) == 0.05


@given(st.floats(0, 10))
def test_commits_leave_time_for_work(commit: float) -> None:
    """When caught up the interval is a multiple of what a commit takes, within the bounds."""
    interval = CommitInterval(0.05, 1.0)
    expected = min(max(0.05, WORK_PER_COMMIT * commit), 1.0)
    assert settled(interval, commit, behind=False) == expected


def test_begins_short() -> None:
    """A process that has just started is not behind until it has seen that it is."""
    assert CommitInterval(0.05, 1.0).seconds == 0.05


def test_nothing_fits_before_the_pace_is_known() -> None:
    """So many records fit as the last ones' pace allows; before, nobody knows."""
    pace = Pace(10.0)
    assert not pace.fits(1)
    pace.observe(4, 2.0)
    assert pace.fits(20)
    assert not pace.fits(21)
