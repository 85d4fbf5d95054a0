"""Processes of a load: who ended by itself, and who did not end well when asked."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.deployment import Process

WAIT_SECONDS = 30.0


@contextmanager
def running(folder: Path, at_end: str) -> Iterator[Process]:
    """Run a process that does something when it is asked to end."""
    code = f"import os, signal, time; signal.signal(signal.SIGTERM, {at_end}); print(1, flush=True)"
    process = Process("one", ["-c", f"{code}; time.sleep(60)"], os.environ, folder, group=0)
    process.start()
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not process.tail():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize(("code", "failed"), [(0, False), (3, True)])
def test_asked_to_end(tmp_path: Path, code: int, failed: bool) -> None:
    """Who ends with a code of failure when asked is noted; who ends well is not."""
    with running(tmp_path, f"lambda *_: os._exit({code})") as process:
        process.stop()
        assert process.pid is None
        assert (process.hung_or_failed, process.has_died) == (failed, False)


def test_killed_on_purpose(tmp_path: Path) -> None:
    """A crash that the profile asks for is no failure, neither then nor when all are stopped."""
    with running(tmp_path, "signal.SIG_DFL") as process:
        process.kill()
        process.stop()
        assert (process.hung_or_failed, process.has_died) == (False, False)


def test_died(tmp_path: Path) -> None:
    """Who is killed by others has died, whatever by."""
    with running(tmp_path, "signal.SIG_DFL") as process:
        assert not process.has_died
        assert process.pid is not None
        os.kill(process.pid, 9)
        assert process.wait(WAIT_SECONDS) == -9
        assert process.has_died
