"""What all sections of the settings share."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings."""

    # What a wrong value was is not in the error's own text: it may be a password.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )


def moment(given: str, other: str = "") -> str:
    """Check a time; ``other`` says what else would be right.

    Raises:
        ValueError: It is none, or has no zone, or is before 1970.
    """
    try:
        parsed = datetime.fromisoformat(given)
    except ValueError:
        raise ValueError(f"must be {other}a time such as 2026-01-31T08:00:00Z") from None
    if parsed.tzinfo is None:
        raise ValueError("a time needs its zone, as in 2026-01-31T08:00:00Z")
    if parsed.timestamp() < 0:
        raise ValueError("Kafka knows no time before 1970")
    return given


def parts(given: object) -> object:
    """Split what is given as one text with commas."""
    if isinstance(given, str):
        return tuple(part.strip() for part in given.split(",") if part.strip())
    return given
