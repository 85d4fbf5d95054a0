"""The logins' pipeline with a switch: it does wrong what a file says, for as long as it says so.

The file is in the folder that ``DRILL_FAULTS`` names, is called as the group, and holds one line,
such as ``sleep 0.3``. Without a file all is well. So a fault comes and goes, as faults do, in a
process that goes on running. Loaded by processors alone: it plants a bug where it is imported.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

from lanternpipe import Context, Retry
from lanternpipe.runtime.outcomes import Outcomes
from logins.events import UserLogin
from logins.pipeline import pipeline as healthy
from tests.stack.drills.plan import FAULTS

_hung: list[float] = []
_commit = Outcomes.commit


def fault() -> tuple[str, float]:
    """Return what goes wrong now, and how much; nothing where there is no file."""
    try:
        name, _, amount = _file().read_text().partition(" ")
    except FileNotFoundError:
        return "", 0.0
    return name, float(amount or 0)


def _file() -> Path:
    return Path(os.environ[FAULTS], os.environ["PIPELINE_KAFKA__GROUP_ID"])


def transform(login: UserLogin, ctx: Context[Any]) -> Any:
    """Process a login, or do what is wrong now."""
    name, amount = fault()
    if name == "sleep":
        time.sleep(amount)
    elif name == "hang" and not _hung:  # once in a life: what follows tells of it
        _hung.append(amount)
        time.sleep(amount)
    elif name == "raise" and crc32(login.device_id.encode()) % amount == 0:
        raise ZeroDivisionError
    elif name == "retry":
        raise Retry("down")
    return healthy.transform(login, ctx)


def commit(self: Outcomes) -> None:
    """Make pending outcomes final, and forget one of them where that is what is wrong."""
    if self.pending and fault()[0] == "forget":
        self.pending[next(iter(self.pending))] -= 1
    _commit(self)


# The one bug that has to be planted: no other fault can make the ledger wrong.
Outcomes.commit = commit  # type: ignore[method-assign]
pipeline = replace(healthy, transform=transform)
