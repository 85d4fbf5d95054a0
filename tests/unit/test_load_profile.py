"""Profiles: what is sent when."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lanternpipe.errors import ConfigError
from loadtest.profile import MOST_STREAMS, PROFILES, Profile, fault_of, read_profile

NAMES = sorted(msgspec.toml.decode(PROFILES.read_bytes()))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profile(name: str) -> None:
    """Every shipped profile can be read, sends, and counts for a part of its time."""
    profile = read_profile(name)
    assert profile.words
    assert 0 <= profile.warm_up < profile.seconds
    rates = [profile.rate_at(profile.seconds * share / 100) for share in range(100)]
    assert min(rates) > 0
    assert max(rates) <= profile.peak
    assert profile.users(max(rates)) <= 2 * MOST_STREAMS
    assert profile.users(profile.peak) <= 8 * MOST_STREAMS


def shape(name: str, *levels: float) -> Profile:
    """Return a profile of 100 s at 100 records per second."""
    return msgspec.structs.replace(
        read_profile("constant"), seconds=100, rate=100, shape=name, levels=levels
    )


def test_constant() -> None:
    """Always the same."""
    assert {shape("constant").rate_at(at) for at in range(100)} == {100}


def test_steps() -> None:
    """Each level for as long as the others, and the last one to the end."""
    profile = shape("steps", 1, 2, 4)
    assert [profile.rate_at(at) for at in (0, 33, 34, 66, 67, 100, 500)] == [
        100, 100, 200, 200, 400, 400, 400,
    ]  # fmt: skip


def test_spike() -> None:
    """Up for a fifth of the time."""
    profile = shape("spike", 5)
    assert [profile.rate_at(at) for at in (0, 39, 40, 59, 60)] == [100, 100, 500, 500, 100]


def test_double_wave() -> None:
    """Two peaks, with a valley between them that is higher than the ends."""
    profile = shape("double-wave", 4)
    start, one, valley, other, end = (profile.rate_at(at) for at in (0, 33.3, 50, 66.7, 100))
    assert one == pytest.approx(other, rel=0.01) == pytest.approx(400, rel=0.02)
    assert start == pytest.approx(end) == pytest.approx(100, rel=0.05)
    assert 110 < valley < 350


def test_what_is_given_counts() -> None:
    """Rate, length and processors may be given; a short run keeps something that counts."""
    profile = read_profile("steps", rate=100, seconds=10, processors=3)
    assert (profile.rate, profile.seconds, profile.processors, profile.warm_up) == (100, 10, 3, 5)


def test_steps_are_sent_as_they_are() -> None:
    """Where all levels are multiples of a rate, users send at that, and nothing is rounded."""
    for name in ("steps", "spike", "constant"):
        profile = read_profile(name)
        for at in range(int(profile.seconds)):
            assert profile.users(profile.rate_at(at)) * profile.stream_rate == profile.rate_at(at)


def test_planned() -> None:
    """What is to be sent in all follows from the profile; a search for saturation plans nothing."""
    assert shape("constant").planned == 10_000
    assert shape("spike", 5).planned == 10_000 + 20 * 400
    assert read_profile("saturation").planned == 0


WHOLE = {
    "words": "?",
    "rate": 100,
    "seconds": 10,
    "limits": {"late_ms": 1, "drain_seconds": 1},
}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rate": 5}, "rate is 5: a multiple of 10 from 10"),
        ({"rate": 15}, "rate is 15: a multiple of 10"),
        ({"rate": 10**15}, "rate is 1000000000000000: a multiple of 10 from 10 to 10000000"),
        ({"shape": "steps", "levels": [math.inf]}, "levels are multiples of rate"),
        ({"limits": {"late_ms": 1, "drain_seconds": 1, "p99_ms": -1}}, "limits are more than 0"),
        ({"limits": {"late_ms": 1, "drain_seconds": math.inf}}, "limits are more than 0"),
        ({"shape": "saturation", "faults": [{"at": 0.5, "what": "kill"}]}, "has no faults"),
        ({"seconds": 0}, "seconds is 0"),
        ({"seconds": math.inf}, "seconds is inf"),
        ({"seconds": math.nan}, "seconds is nan"),
        ({"warm_up": 10}, "warm_up is 10: less than seconds, 10"),
        ({"warm_up": -1}, "warm_up is -1"),
        ({"shape": "spike"}, "'spike' takes one level, and there are 0"),
        ({"shape": "steps"}, "'steps' takes some levels"),
        ({"levels": [2]}, "'constant' takes no levels, and there are 1"),
        ({"shape": "steps", "levels": [1, 0]}, "levels are multiples of rate"),
        ({"poison": 2}, "poison is 2: a share"),
        ({"processors": 0}, "processors is 0: at least 1"),
        ({"faults": [{"at": 1.5, "what": "kill"}]}, "a fault is at a share"),
        ({"limits": {"late_ms": 0, "drain_seconds": 1}}, "limits are more than 0"),
        (
            {
                "faults": [{"at": 0.5, "what": "kill"}],
                "limits": {"late_ms": 1, "drain_seconds": 1, "growth_mib_per_hour": 1},
            },
            "without faults",
        ),
    ],
)
def test_profile_that_cannot_be(given: dict[str, Any], told: str) -> None:
    """What would send nothing, or end in the middle, is refused with what is wrong."""
    assert fault_of(msgspec.convert(WHOLE, Profile)) == ""
    assert told in fault_of(msgspec.convert({**WHOLE, **given}, Profile))


def test_what_is_given_cannot_be() -> None:
    """What is given in place of a profile's own is held to the same."""
    with pytest.raises(ConfigError, match="profile 'kill': processors is 0: at least 1"):
        read_profile("kill", processors=0)
    with pytest.raises(ConfigError, match="seconds is -1: more than 0"):
        read_profile("kill", seconds=-1)


def test_unknown_profile() -> None:
    """An unknown name is told, with those that there are."""
    with pytest.raises(ConfigError, match=r"'stairs'.*smoke.*steps"):
        read_profile("stairs")


def test_rate_too_low() -> None:
    """Less than one lane cannot be sent."""
    with pytest.raises(ConfigError, match="a multiple of 10 from 10"):
        read_profile("smoke", rate=1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[x", "x"),
        ('[x]\nwords = "?"\nrate = 1\nseconds = 1\nlimits = { late_mss = 1 }', "late_mss"),
        ('[x]\nwords = "?"\nrate = "many"\nseconds = 1\nlimits = {}', "rate"),
    ],
)
def test_wrong_file(tmp_path: Path, content: str, told: str) -> None:
    """What is wrong in the file is told with its place."""
    file = tmp_path / "profiles.toml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=f"profiles.toml.*{told}"):
        read_profile("x", file=file)
