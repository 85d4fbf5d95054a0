"""Reads the dashboards as they are shipped: their panels, and what they ask whom."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARDS = Path(__file__).parent / "dashboards"
# What Grafana puts in for its variables where all is chosen; the rate's range is that of a data
# source with a scrape interval of 15 s.
EVERYTHING: Mapping[str, str] = {
    "$__rate_interval": "1m",
    "$__interval": "15s",
    "$__auto": "15s",
    "$__range": "30m",
    "$group": ".*",
    "$instance": ".*",
    "$level": ".*",
    "$event_id": "user-login/0/0",
    "$event": ".*",
}


class Asked(NamedTuple):
    """One query of a dashboard.

    Attributes:
        uid: Of the dashboard.
        panel: Its title; in brackets for what is no panel.
        ref: The query's letter.
        source: The uid of the data source.
        text: The query, with variables.
    """

    uid: str
    panel: str
    ref: str
    source: str
    text: str

    def __str__(self) -> str:
        return f"{self.uid}: {self.panel} ({self.ref})"


def dashboards(folder: Path = DASHBOARDS) -> list[dict[str, Any]]:
    """Return all dashboards, by the order of their files."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without the rows, in their order."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """Return all that a dashboard asks: for panels, and for marks of what happened."""
    uid = dashboard["uid"]
    for panel in panels(dashboard):
        for target in panel["targets"]:
            text = target.get("expr") or target["query"]
            yield Asked(uid, panel["title"], target["refId"], target["datasource"]["uid"], text)
    for each in dashboard["annotations"]["list"]:
        yield Asked(uid, f"[{each['name']}]", "A", each["datasource"]["uid"], each["expr"])


def filled(text: str, values: Mapping[str, str] = EVERYTHING) -> str:
    """Put values in for a query's variables.

    Raises:
        ValueError: A variable has no value.
    """
    for name in sorted(values, key=len, reverse=True):  # `$event_id` before `$event`
        text = text.replace(name, values[name])
    if re.search(r"\$\w|\$\{", text):
        raise ValueError(f"a variable without a value: {text}")
    return text
