"""The logins' pipeline with records that fail on demand: what is wrong stands in the locale."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import Any

from lanternpipe import Context, Retry
from logins.events import UserLogin
from logins.pipeline import pipeline as healthy

RETRY, BUG, FREEZE = "RETRY", "BUG", "FREEZE"
SECONDS = 4  # for so long a record is to be tried again
# For so long one freezes its processor: less than a session's time-out, so that who takes it over
# has no trouble with it, and longer than a rebalance that may be going on.
FREEZES = 12


def transform(login: UserLogin, ctx: Context[Any]) -> Any:
    """Process a login, unless it says otherwise."""
    age = time.time() - login.timestamp
    if login.locale == RETRY and age < SECONDS:
        raise Retry("down")
    if login.locale == FREEZE and age < FREEZES:
        os.kill(os.getpid(), signal.SIGSTOP)
    if login.locale == BUG:
        raise ZeroDivisionError
    return healthy.transform(login, ctx)


pipeline = replace(healthy, transform=transform)
