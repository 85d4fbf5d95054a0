"""What is kept of a run: one JSON file that says what was done, what was found, and by what."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lanternpipe.kafka.clients import CLIENT_VERSION
from lanternpipe.testing.history import Report
from lanternpipe.testing.kafka_install import KAFKA_VERSION
from lanternpipe.version import VERSION
from tests.chaos.run import Outcome

ROOT = Path(__file__).parents[2]
ALLOWED = {"exactly-once": frozenset[str](), "at-least-once": frozenset({"duplicate"})}


def good(outcome: Outcome, delivery: str) -> bool:
    """Say whether a run kept its promise: at least once may repeat records, but lose none."""
    reports = [outcome.report, *([outcome.console] if outcome.console else [])]
    found = {name for report in reports for name, count in report.counts.items() if count}
    return (
        found <= ALLOWED[delivery]
        and outcome.report.seen > 0
        and outcome.report.acks["acknowledged"] == sum(outcome.report.acks.values())
        and not any(outcome.codes)
        and outcome.console_agrees is not False
    )


def conditions(began: datetime) -> dict[str, Any]:
    """Return when, where and with what a run took place."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "began": began.isoformat(timespec="seconds"),
        "versions": {
            "lanternpipe": VERSION,
            "sources": _sources(),
            "kafka": KAFKA_VERSION,
            "librdkafka": CLIENT_VERSION,
            "python": platform.python_version(),
        },
        "machine": f"{os.cpu_count()} CPUs, {memory:.0f} GB, {platform.system()}, all in one",
    }


def figures(outcome: Outcome) -> dict[str, Any]:
    """Return what a run has shown."""
    report = outcome.report
    stalls = [stall for entry, stall in outcome.recoveries if entry.hurts and stall]
    result = {
        "seconds": round(outcome.seconds, 1),
        "sent": report.acks,
        "seen": report.seen,
        "anomalies": report.counts,
        "examples": {name: found for name, found in report.examples.items() if found},
        "done": dict(outcome.done),
        "exit_codes": outcome.codes,
        "ended_by_themselves": outcome.own_ends,
        "outputs_taken_back": outcome.aborted,
        "recovery": {
            "first partition": _spread(first for first, _ in stalls),
            "all partitions": _spread(last for _, last in stalls),
        },
        "faults": [
            [_short(entry.at - outcome.began), entry.text, *map(_short, stall or ())]
            for entry, stall in outcome.recoveries
        ],
    }
    if outcome.console is not None:
        result["console"] = {
            "seen": outcome.console.seen,
            "anomalies": _found(outcome.console),
            "agrees": outcome.console_agrees,
        }
    return result


def write(result: dict[str, Any], folder: Path, name: str) -> Path:
    """Write a result file and return where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def _found(report: Report) -> dict[str, int]:
    return {name: count for name, count in report.counts.items() if count}


def _short(seconds: float) -> float:
    return round(seconds, 1)


def _spread(seconds: Iterable[float]) -> dict[str, float]:
    """Return least, median and most."""
    given = [*seconds]
    if not given:
        return {}
    found = {"min": min(given), "median": statistics.median(given), "max": max(given)}
    return {name: _short(value) for name, value in found.items()}


def _sources() -> str:
    """Return Git's name for what is in ``src``, with a mark if files differ from it.

    A commit gets another name when it is put behind others, though not a file has changed.
    """
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return "unknown"

    def ask(*words: str) -> str:
        told = subprocess.run([git, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return told.stdout.strip()

    mark = "-dirty" if ask("status", "--porcelain", "src") else ""
    return (ask("rev-parse", "--short", "HEAD:src") or "unknown") + mark


def now() -> datetime:
    """Return the time of day, for the file."""
    return datetime.now(UTC)
