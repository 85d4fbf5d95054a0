"""What happens to one login. Pure: no I/O, no clock; ``ctx`` brings what it needs."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from lanternpipe import Context, Skip
from logins.events import ProcessedUserLogin, UserLogin, Version


class Settings(BaseModel):
    """Settings of this pipeline, read from ``PIPELINE_APP__...``."""

    minimum_version: Annotated[str, Field(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")] = Field(
        "2.0.0", description="Logins from an older version of the app are filtered out."
    )


def transform(login: UserLogin, ctx: Context[Settings]) -> ProcessedUserLogin | Skip:
    """Let a login through unless its app is too old, and note when that was."""
    if Version(login.app_version) < Version(ctx.settings.minimum_version):
        return Skip("old_app_version")
    return ProcessedUserLogin.from_login(login, processed_timestamp=ctx.now)
