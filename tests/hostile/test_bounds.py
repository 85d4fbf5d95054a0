"""The worst records take a bounded time and memory each, and become what they should."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.worst import CASES

ROOT = Path(__file__).parents[2]
SECONDS = 10.0  # for any record; four were seen where it has two million headers


@pytest.fixture(name="seen", scope="module")
def _seen() -> dict[str, tuple[str, float]]:
    """Return what became of each case, and after how many seconds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.worst"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"ended behind:\n{done.stderr[-2_000:]}"
    return {name: (each[0], each[1]) for name, each in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", CASES)
def test_worst(seen: dict[str, tuple[str, float]], name: str) -> None:
    """Each is processed, or given up for the right reason, within seconds and 256 MB."""
    outcome, seconds = seen[name]
    assert outcome == CASES[name]
    assert seconds < SECONDS
