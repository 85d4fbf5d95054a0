"""When a record is tried again, and when it is given up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanternpipe.pipeline import Skip
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.retry import Attempts, is_alone
from lanternpipe.testing.fake_broker import Stored, run_of

HERE, THERE = TopicPartition("in", 0), TopicPartition("in", 1)


def attempts(**parts: Any) -> Attempts:
    """Return attempts without jitter, three of them."""
    return Attempts(**{"first": 1.0, "longest": 5.0, "most": 3, "random": lambda: 1.0, **parts})


def test_waits_double_up_to_a_limit() -> None:
    """Each attempt waits twice as long as the one before, and no longer than the longest."""
    tries = attempts(most=0)
    assert [tries.failed(HERE, 7, alone=True) for _ in range(5)] == [1, 2, 4, 5, 5]


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 2_000))
def test_waits_are_spread_and_bounded(chance: float, failures: int) -> None:
    """However often a record fails, it waits at least half of the bound and never longer."""
    tries = attempts(most=0, random=lambda: chance)
    for _ in range(failures):
        wait = tries.failed(HERE, 7, alone=False)
    assert wait is not None
    assert 0.5 <= wait <= 5.0


def test_a_record_at_fault_is_given_up() -> None:
    """The attempt that reaches the limit is the last."""
    tries = attempts()
    assert [tries.failed(HERE, 7, alone=True) for _ in range(3)] == [1.0, 2.0, None]
    assert tries.made(HERE, 7) == 3


def test_no_record_is_given_up_while_a_dependency_is_down() -> None:
    """What fails along with others waits without end."""
    tries = attempts()
    assert None not in [tries.failed(HERE, 7, alone=False) for _ in range(50)]
    assert tries.failed(HERE, 7, alone=True) is not None, "it has only begun to count"


def test_each_record_and_partition_has_its_own_attempts() -> None:
    """Another record, or one elsewhere, begins anew."""
    tries = attempts()
    tries.failed(HERE, 7, alone=True)
    tries.failed(HERE, 7, alone=True)
    assert tries.failed(THERE, 7, alone=True) == 1.0
    assert tries.failed(HERE, 8, alone=True) == 1.0
    assert tries.made(HERE, 7) == 1


@pytest.mark.parametrize(
    ("results", "again", "alone"),
    [
        (["out", None], {1: "geo"}, True),
        ([None, None], {0: "geo", 1: "geo"}, False),
        ([None], {0: "geo"}, False),
        ([Skip("old"), None], {1: "geo"}, False),
        (["out", None, None], {1: "geo", 2: "geo"}, False),
        (["out"] * 18 + [None, None], {18: "geo", 19: "geo"}, True),
        (["out", None, None], {1: "geo", 2: "bank"}, True),
    ],
    ids=[
        "another went through",
        "all fail",
        "nobody else",
        "others did not need it",
        "another key, same reason",
        "hardly any, same reason",
        "another reason",
    ],
)
def test_who_is_alone(results: list[Any], again: dict[int, str], alone: bool) -> None:
    """A record is at fault where others went through and nobody asks for the same reason."""
    stored = [(at, Stored(b"v", b"key%d" % at)) for at in range(len(results))]
    assert is_alone(run_of(HERE, stored), results, again, max(again, default=0)) is alone


def test_the_same_key_may_fail_twice() -> None:
    """Two records of one user that fail for the same reason speak against the user."""
    records = run_of(HERE, [(at, Stored(b"v", b"same")) for at in range(3)])
    assert is_alone(records, ["out", None, None], {1: "geo", 2: "geo"}, 1)
