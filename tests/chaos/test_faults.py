"""The plan of a run comes from its seed, and finds its victims."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.brokers import java_hash
from tests.chaos.faults import Times, schedule
from tests.chaos.mutants import MUTANTS
from tests.chaos.mutation import TRIALS
from tests.chaos.profiles import PROFILES, Profile

TIMES: Times = {"kill": 3, "stop": 2, "freeze": (0, 2, 1), "drop": (1,)}


def test_same_seed_same_plan() -> None:
    """A seed gives the same plan every time, and another seed another one."""
    assert schedule(7, TIMES, processors=3) == schedule(7, TIMES, processors=3)
    assert schedule(7, TIMES, processors=3) != schedule(8, TIMES, processors=3)


def test_every_fault_is_planned_as_often_as_told() -> None:
    """A plan holds each kind as often as it should, for the processes it should."""
    plan = schedule(1, TIMES, processors=5, at_once=2)

    assert Counter(fault.kind for fault in plan) == {"kill": 3, "stop": 2, "freeze": 3, "drop": 1}
    frozen = Counter(fault.targets for fault in plan if fault.kind == "freeze")
    assert frozen == {(1,): 2, (2,): 1}
    assert all(len({*fault.targets}) == 2 for fault in plan if fault.kind in {"kill", "stop"})


@pytest.mark.parametrize(
    ("text", "value"),
    # The last one is Java's least integer, of which Kafka makes 0.
    [("", 0), ("hello", 99162322), ("processor-a", 203322854), ("polygenelubricants", 0)],
)
def test_hash_is_javas(text: str, value: int) -> None:
    """A name hashes as in Java, so that its coordinator is found."""
    assert java_hash(text) == value


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_profiles_name_processes_that_exist(profile: Profile) -> None:
    """No profile hurts a process that it has not."""
    plan = schedule(1, profile.faults, processors=profile.processors, at_once=profile.at_once)

    assert {target for fault in plan for target in fault.targets} <= {*range(profile.processors)}


def test_every_mutant_is_tried() -> None:
    """Every deliberate bug has a run that aims at it."""
    assert MUTANTS.keys() == TRIALS.keys()
