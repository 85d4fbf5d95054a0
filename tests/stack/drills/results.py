"""The results of a run of the drills, as a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.stack.drills.run import Report
from tests.stack.drills.shipped import CLOCK, ROOT, SCRAPE_SECONDS

BUILT = ROOT / "build" / "drills.json"
COMMITTED = ROOT / "docs" / "alerts" / "drills.json"


def write(report: Report, file: Path = BUILT) -> None:
    """Write what became of the drills."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(as_json(report), indent=1) + "\n")


def as_json(report: Report) -> dict[str, Any]:
    """Return what became of the drills; alerts by name, in the order in which they were drilled."""
    return {
        "clock": {
            "factor": CLOCK.factor,
            "shortest_window_seconds": CLOCK.window,
            "scrape_seconds": SCRAPE_SECONDS,
        },
        "cores": os.cpu_count(),
        "seconds": round(report.seconds),
        "quiet": {"seconds": report.quiet_seconds, "alerts": sorted(set(report.quiet))},
        "alerts": {
            name: {
                "drill": outcome.drill.name,
                "fires_seconds": measured.fires,
                "clears_seconds": measured.clears,
                "labels": measured.labels,
            }
            for outcome in report.outcomes
            for name, measured in outcome.alerts.items()
        },
    }
