"""Events of other types than logins, with a field of every kind that msgspec reads."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct


class Leaf(Struct, tag=True):
    """The end of a tree."""

    weight: float = 0.0


class Branch(Struct, tag=True):
    """A tree, which may be as deep as its sender likes."""

    below: list[Branch | Leaf] = []


class Varied(Struct):
    """One of everything."""

    user_id: Any = None
    app_version: Literal["2.3.0", "u"] | None = None
    ip: dict[str, int] = {}
    locale: Branch | Leaf | None = None
    device_id: UUID | None = None
    timestamp: Decimal | None = None
    device_type: set[str] | None = None


class Strict(Struct, forbid_unknown_fields=True):
    """What allows little."""

    timestamp: Annotated[float, Meta(gt=0, lt=1e10)]
    ip: Annotated[str, Meta(pattern=r"^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$", max_length=15)]
    user_id: datetime | None = None
    locale: date | None = None
