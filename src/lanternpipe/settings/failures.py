"""The settings of what happens when something fails: retries, dead letters, the breaker."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from lanternpipe.settings.section import Section, moment, parts

UNITS = {"s": 1, "m": 60, "h": 3_600}


class RetrySettings(Section):
    """What happens to a record whose transform asks for another attempt."""

    mode: Literal["hold", "topics"] = Field(
        "hold",
        description="`hold`: its partition waits, order is kept. `topics`: it goes through retry "
        "topics and others overtake it, also those of its key.",
    )
    first: float = Field(0.1, gt=0, description="Seconds before the second attempt (`hold`).")
    longest: float = Field(
        30.0, gt=0, description="Most seconds between two attempts; they double (`hold`)."
    )
    max_attempts: int = Field(
        10,
        ge=0,
        description="Attempts before a record becomes a dead letter, counted while other records "
        "succeed; 0 means no end (`hold`).",
    )
    tiers: Annotated[tuple[str, ...], NoDecode] = Field(
        ("5s", "1m", "10m"),
        description="Waits between attempts, one retry topic each (`topics`).",
    )

    @field_validator("tiers", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        return parts(given)

    @field_validator("tiers")
    @classmethod
    def _tiers(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if not given or len(set(given)) < len(given):
            raise ValueError("must be one or more different times, as in 5s,1m,10m")
        for tier in given:
            if not re.fullmatch(r"[1-9][0-9]{0,5}[smh]", tier):
                raise ValueError(f"{tier!r} is not a time such as 5s, 1m or 2h")
        return given

    @model_validator(mode="after")
    def _relations(self) -> RetrySettings:
        if self.first > self.longest:
            raise ValueError(
                f"FIRST ({self.first:g} s) must not exceed LONGEST ({self.longest:g} s)"
            )
        return self

    def delays(self) -> tuple[int, ...]:
        """Return the waits of the tiers in seconds."""
        return tuple(int(tier[:-1]) * UNITS[tier[-1]] for tier in self.tiers)


class LookupSettings(Section):
    """The pipeline's one place for questions to others: `Pipeline(lookup=...)`."""

    timeout: float = Field(
        5.0, gt=0, description="Seconds for one lookup; afterwards its records are tried again."
    )
    threads: int = Field(
        4, ge=1, le=64, description="Most lookups at once, those included that do not return."
    )


class BreakerSettings(Section):
    """Stops the processor when suddenly most records fail: the fault is hardly the records'."""

    enabled: bool = Field(default=True, description="Whether to stop at a flood of dead letters.")
    ratio: float = Field(
        0.5, gt=0, le=1, description="Share of dead letters in the window at which it opens."
    )
    window: int = Field(1_000, ge=10, description="How many records it judges by.")
    accept_before: str | None = Field(
        None,
        description="Lets records older than this time pass unjudged, as "
        "`2026-01-31T08:00:00Z`: for a bad stretch that is to become dead letters.",
    )

    @field_validator("accept_before")
    @classmethod
    def _accept_before(cls, given: str | None) -> str | None:
        return moment(given) if given else None


class DeadLetterSettings(Section):
    """Where records go that cannot be processed."""

    topic: str | None = Field(
        None, description="Topic of the dead letters; by default `<input>.dlq`."
    )
    detail: Literal["safe", "full"] = Field(
        "safe",
        description="`full` adds the exception's text to a dead letter; it may hold personal data.",
    )
    dialects: Annotated[tuple[Literal["spring", "connect"], ...], NoDecode] = Field(
        (),
        description="Further names for what a letter's headers tell, for tools that read those: "
        "`spring`, `connect`, or both with a comma.",
    )
    breaker: BreakerSettings = BreakerSettings()

    @field_validator("dialects", mode="before")
    @classmethod
    def _dialects(cls, given: object) -> object:
        return parts(given)
