"""The logins' pipeline with a dependency that fails now and then: some records are tried again."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from lanternpipe import Context, Retry
from logins.events import UserLogin
from logins.pipeline import pipeline as healthy

ONE_IN = 500
DOWN_SECONDS = 0.4

_first_seen: dict[str, float] = {}


def transform(login: UserLogin, ctx: Context[Any]) -> Any:
    """Process a login, but some not before a while after they were first seen by this process."""
    if login.device_id.endswith("7") and int(login.device_id.removeprefix("id-")) % ONE_IN == 7:
        now = time.monotonic()
        if now < _first_seen.setdefault(login.device_id, now) + DOWN_SECONDS:
            raise Retry("down")
    return healthy.transform(login, ctx)


pipeline = replace(healthy, transform=transform)
