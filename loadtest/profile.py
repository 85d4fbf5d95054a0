"""A profile: what is sent when, what goes wrong meanwhile, and what must hold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import msgspec

from lanternpipe.errors import ConfigError
from loadtest.lanes import PER_SECOND

PROFILES = Path(__file__).with_name("profiles.toml")
MOST_STREAMS = 50  # users of Locust at the peak of a shape
TOP = 200_000  # records per second at which a search for saturation ends
MOST_RATE = 10_000_000  # no generator gets there
SPIKE = (0.4, 0.6)  # of the time
WAVES = (1 / 3, 2 / 3)
WIDTH = 1 / 12

Shape = Literal["constant", "steps", "spike", "double-wave", "saturation"]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done to a processor, the last of them or all.

    Attributes:
        at: When, as a share of the time.
        what: ``kill`` and ``start`` the last one, ``stop`` all; ``start`` starts all that are down.
    """

    at: float
    what: Literal["kill", "stop", "start"]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run must hold to, besides that every record arrives once and in order.

    Attributes:
        late_ms: 99 % of records are sent within so many milliseconds of when they are due.
        drain_seconds: When sending ends, all records are seen within so many seconds.
        p99_ms: 99 % of outputs are seen within so many milliseconds of when they were due.
        growth_mib_per_hour: By how much the memory of a processor may grow.
    """

    late_ms: int
    drain_seconds: float
    p99_ms: int | None = None
    growth_mib_per_hour: float | None = None


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A profile, as in ``profiles.toml``, where the fields are explained."""

    words: str
    rate: int
    seconds: float
    limits: Limits
    warm_up: float = 0
    shape: Shape = "constant"
    levels: tuple[float, ...] = ()
    poison: float = 0
    processors: int = 1
    faults: tuple[Fault, ...] = ()

    @property
    def peak(self) -> float:
        """The highest rate."""
        return TOP if self.shape == "saturation" else self.rate * max(1.0, *self.levels, 1.0)

    @property
    def stream_rate(self) -> int:
        """Records per second of one user of Locust, by which rates are rounded."""
        if self.shape == "saturation":
            # It begins far below where it may end, and goes by finer steps than it begins with.
            return PER_SECOND * max(1, self.rate // 4 // PER_SECOND)
        most = max(1, math.ceil(self.peak / MOST_STREAMS / PER_SECOND))
        # Of rates that are about as good, one of which all levels are multiples.
        levels = [round(self.rate * level) for level in (1, *self.levels)]
        whole = (n for n in range(most, most // 2, -1) if not math.gcd(*levels) % (n * PER_SECOND))
        return PER_SECOND * next(whole, most)

    @property
    def planned(self) -> int:
        """How many records are to be sent in all; a search for saturation plans none."""
        if self.shape == "saturation":
            return 0
        return sum(map(self.planned_in, range(int(self.seconds))))

    def planned_in(self, second: int) -> int:
        """Return how many records are to be sent in a second of the run."""
        return self.users(self.rate_at(second + 0.5)) * self.stream_rate

    def users(self, rate: float) -> int:
        """Return how many users send at a rate, at least one."""
        return max(1, round(rate / self.stream_rate))

    def rate_at(self, seconds: float) -> float:
        """Return how many records per second are to be sent at a moment of the run."""
        share = seconds / self.seconds
        match self.shape:
            case "steps":
                return (
                    self.rate
                    * self.levels[min(int(share * len(self.levels)), -1 + len(self.levels))]
                )
            case "spike":
                return self.rate * (self.levels[0] if SPIKE[0] <= share < SPIKE[1] else 1)
            case "double-wave":
                waves = sum(math.exp(-((share - at) ** 2) / (2 * WIDTH**2)) for at in WAVES)
                return self.rate * (1 + (self.levels[0] - 1) * min(1.0, waves))
        return self.rate


def read_profile(
    name: str,
    *,
    rate: int | None = None,
    seconds: float | None = None,
    processors: int | None = None,
    file: Path = PROFILES,
) -> Profile:
    """Return a profile by its name, with what is given in place of its own.

    Raises:
        ConfigError: There is none by that name, or something in the file, or given, is wrong.
    """
    try:
        found = msgspec.toml.decode(file.read_bytes(), type=dict[str, Profile])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    if name not in found:
        raise ConfigError(f"there is no profile {name!r} in {file}; it has {', '.join(found)}")
    profile = found[name]
    if seconds is not None:
        # A short trial still needs to have something that counts.
        warm_up = min(profile.warm_up, seconds / 2)
        profile = msgspec.structs.replace(profile, seconds=seconds, warm_up=warm_up)
    if rate is not None:
        profile = msgspec.structs.replace(profile, rate=rate)
    if processors is not None:
        profile = msgspec.structs.replace(profile, processors=processors)
    if wrong := fault_of(profile):
        raise ConfigError(f"profile {name!r}: {wrong}")
    return profile


def fault_of(profile: Profile) -> str:
    """Say what cannot be in a profile; nothing where all is well. Pure."""
    limits, levels, shape = profile.limits, len(profile.levels), profile.shape
    wanted = {"steps": "some levels", "spike": "one level", "double-wave": "one level"}
    takes = wanted.get(shape, "no levels")
    fits = levels > 0 if shape == "steps" else levels == (shape in wanted)
    asked = (
        (
            PER_SECOND <= profile.rate <= MOST_RATE and profile.rate % PER_SECOND == 0,
            f"rate is {profile.rate}: a multiple of {PER_SECOND} from {PER_SECOND} to {MOST_RATE}",
        ),
        (0 < profile.seconds < math.inf, f"seconds is {profile.seconds:g}: more than 0"),
        (
            0 <= profile.warm_up < profile.seconds,
            f"warm_up is {profile.warm_up:g}: less than seconds, {profile.seconds:g}",
        ),
        (fits, f"shape {shape!r} takes {takes}, and there are {levels}"),
        (
            all(0 < level < math.inf for level in profile.levels),
            "levels are multiples of rate, more than 0",
        ),
        (0 <= profile.poison < 1, f"poison is {profile.poison:g}: a share from 0 to less than 1"),
        (profile.processors > 0, f"processors is {profile.processors}: at least 1"),
        (
            all(0 <= fault.at < 1 for fault in profile.faults),
            "a fault is at a share of the time, from 0 to less than 1",
        ),
        (
            all(
                limit is None or 0 < limit < math.inf
                for limit in (
                    limits.late_ms,
                    limits.drain_seconds,
                    limits.p99_ms,
                    limits.growth_mib_per_hour,
                )
            ),
            "limits are more than 0",
        ),
        (
            shape != "saturation" or not profile.faults,
            "a search for saturation has no faults: it ends when it has found something",
        ),
        (
            limits.growth_mib_per_hour is None or not profile.faults,
            "growth is told of processors that go on, and so without faults",
        ),
    )
    return next((words for holds, words in asked if not holds), "")
