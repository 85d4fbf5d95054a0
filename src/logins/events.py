"""The events of this pipeline: what comes in, and what goes out."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from lanternpipe import Reject

Text = Annotated[str, Meta(min_length=1)]
EpochSeconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]  # up to the year 9999


class UserLogin(Struct, frozen=True, gc=False):
    """A user has logged in."""

    user_id: Text
    app_version: Text
    ip: Text
    locale: Text
    device_id: Text
    timestamp: EpochSeconds
    device_type: Text


class ProcessedUserLogin(UserLogin, frozen=True, gc=False):
    """A login that was let through, with the time at which that happened."""

    processed_timestamp: EpochSeconds


class AppVersion(NamedTuple):
    """A version of the app, which compares by number: 2.10.0 is newer than 2.9.1."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


# Few versions are in use at a time; a hit costs a twentieth of a microsecond.
@lru_cache(maxsize=4096)
def Version(text: str) -> AppVersion:  # noqa: N802  # reads as the type that it makes
    """Return ``text``, such as ``"2.10.0"``, as a version.

    Raises:
        Reject: It is not three numbers with dots between them.
    """
    parts = text.split(".")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() and len(p) < 10 for p in parts):
        raise Reject("invalid", field="app_version", limit="N.N.N")
    return AppVersion(*map(int, parts))
