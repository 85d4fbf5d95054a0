"""What happens to one login. Pure: no I/O, no clock; ``ctx`` brings what it needs."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from lanternpipe import Context, Reject, Skip
from logins.events import AppVersion, ProcessedUserLogin, UserLogin, Version


def _version(given: object) -> AppVersion:
    try:
        return Version(str(given))
    except Reject:
        raise ValueError("must be N.N.N, such as 2.10.0") from None


class Settings(BaseModel):
    """Settings of this pipeline, read from ``PIPELINE_APP__...``."""

    minimum_version: Annotated[AppVersion, BeforeValidator(_version)] = Field(
        Version("2.0.0"), description="Logins from an older version of the app are filtered out."
    )


def transform(login: UserLogin, ctx: Context[Settings]) -> ProcessedUserLogin | Skip:
    """Let a login through unless its app is too old, and note when that was."""
    if Version(login.app_version) < ctx.settings.minimum_version:
        return Skip("old_app_version")
    return ProcessedUserLogin(
        user_id=login.user_id,
        app_version=login.app_version,
        ip=login.ip,
        locale=login.locale,
        device_id=login.device_id,
        timestamp=login.timestamp,
        device_type=login.device_type,
        processed_timestamp=ctx.now,
    )
