"""The real Docker Compose reads compose.yaml, and tells what it understood."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.stack.install import COMPOSE, binary

ROOT = Path(__file__).parents[2]
INSTALLED = ["docker", "compose"]
SECURE = ("-f", "compose.yaml", "-f", "deploy/compose/secure.yaml")
OLDEST = 2, 24  # knows `include` with several files, and merges as the later ones do
ANSWER_SECONDS = 60.0


def command() -> list[str]:
    """Return the words that start Compose: Docker's own plugin, else one that Go builds.

    Raises:
        NoComponentError: There is neither.
    """
    return INSTALLED if is_installed() else [str(binary(COMPOSE))]


def is_installed() -> bool:
    """Tell whether Docker has a plugin that is new enough."""
    try:
        told = subprocess.run(
            [*INSTALLED, "version", "--short"],
            capture_output=True,
            text=True,
            check=True,
            timeout=ANSWER_SECONDS,
        ).stdout
        return tuple(map(int, told.strip().lstrip("v").split(".")[:2])) >= OLDEST
    except (OSError, ValueError, subprocess.SubprocessError):
        return False


def compose(*arguments: str, **variables: str) -> str:
    """Run Compose on the project, with the defaults of ``.env`` unless told otherwise."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [*command(), *arguments],
        cwd=ROOT,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=ANSWER_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "Compose warns, as of a variable that is not set"
    return done.stdout


def everything(*files: str) -> dict[str, Any]:
    """Return the whole project as Compose understood it."""
    # As YAML: its JSON leaves out the x- keys.
    read: dict[str, Any] = yaml.safe_load(compose(*files, "--profile", "*", "config"))
    return read
