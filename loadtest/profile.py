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
        # A search begins far below where it may end, and goes by finer steps than it begins with.
        rate = self.rate / 4 if self.shape == "saturation" else self.peak / MOST_STREAMS
        return max(1, math.ceil(rate / PER_SECOND)) * PER_SECOND

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
        ConfigError: There is none by that name, or something in the file is wrong.
    """
    try:
        found = msgspec.toml.decode(file.read_bytes(), type=dict[str, Profile])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    if name not in found:
        raise ConfigError(f"there is no profile {name!r} in {file}; it has {', '.join(found)}")
    profile = found[name]
    if seconds is not None:
        # A short trial still needs to have something that counts.
        warm_up = min(profile.warm_up, seconds / 2)
        profile = msgspec.structs.replace(profile, seconds=seconds, warm_up=warm_up)
    if rate is not None:
        if rate < PER_SECOND:
            raise ConfigError(f"a rate of {rate} is too low: at least {PER_SECOND} a second")
        profile = msgspec.structs.replace(profile, rate=rate)
    if processors is not None:
        profile = msgspec.structs.replace(profile, processors=processors)
    return profile
