"""Small programs that a test runs as processes of their own, because they end in a hard way."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

SECONDS = 60.0  # far more than any of them needs


def run_program(
    text: str, *, timeout: float = SECONDS, argv: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; return its exit code and what it said."""
    return subprocess.run(
        [sys.executable, "-c", dedent(text), *argv],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
