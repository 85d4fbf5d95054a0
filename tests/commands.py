"""Runs the project's commands as a user would, against a given broker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LANTERNPIPE = str(Path(sys.executable).parent / "lanternpipe")
STOP_SECONDS = 30.0


def environment(bootstrap_servers: str, **settings: str) -> dict[str, str]:
    """Return the environment for commands; ``settings`` are without their ``PIPELINE_``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    given = {
        "KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "INSTANCE": "",
        "LOG__FORMAT": "json",
        **settings,
    }
    return {**kept, **{f"PIPELINE_{name}": value for name, value in given.items()}}


def run(
    env: dict[str, str], *arguments: str, stdin: bytes | None = None, timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    done = subprocess.run(
        [LANTERNPIPE, *arguments],
        env=env,
        input=stdin,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


@contextmanager
def started(env: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command within the block, then end it."""
    process = subprocess.Popen([LANTERNPIPE, *arguments], env=env)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
