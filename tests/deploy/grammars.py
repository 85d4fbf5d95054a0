"""Grafana's own grammars of LogQL and TraceQL, which are JavaScript."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent / "queries"
SECONDS = 120.0
FAULTY = "⚠"

Nodes = list[tuple[str, str]]


class NoNodeError(Exception):
    """This machine cannot run the grammars."""


def trees(queries: list[tuple[str, str]]) -> list[Nodes]:
    """Return the nodes of each query's tree as (name, text); one named ``FAULTY`` is an error.

    Args:
        queries: Each as (``loki`` or ``tempo``, text).

    Raises:
        NoNodeError: There is no node, or the grammars cannot be had.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NoNodeError("LogQL and TraceQL are not parsed: node and npm not found")
    folder = _installed(npm)
    done = _run([node, "parse.mjs"], folder, json.dumps(queries))
    return [[(name, text) for name, text in tree] for tree in json.loads(done)]


def _installed(npm: str) -> Path:
    """Return a folder with the grammars; the first call on a machine fetches them."""
    files = sorted(HERE.iterdir())
    key = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache, "lanternpipe", f"grammars-{key}")
    folder.mkdir(parents=True, exist_ok=True)
    # The lock spares parallel test workers a second installation.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            for file in files:
                shutil.copy(file, folder)
            _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
            (folder / "done").touch()
    return folder


def _run(command: list[str], folder: Path, given: str = "") -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise NoNodeError(f"LogQL and TraceQL are not parsed: {command[0]}: {last}")
    return done.stdout
