"""Asks Prometheus what a dashboard asks it, over a stretch of time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

from deploy.grafana.reading import EVERYTHING, filled

POINTS = 160  # of a curve: as many as can be told apart in a panel
Ask = Callable[[str, Mapping[str, str]], Any]


class Stretch(NamedTuple):
    """A stretch of time, in Unix seconds, the range of its rates, and the instances shown."""

    start: float
    end: float
    rate: str
    instances: str = ".*"

    @property
    def step(self) -> float:
        """Seconds between two points of a curve."""
        return max(1.0, math.ceil((self.end - self.start) / POINTS))


class Series(NamedTuple):
    """One curve: its name, its labels, and its points in time; nan where there is none."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    def last(self) -> float:
        """Return the last value; nan without any."""
        values = self.values()
        return values[-1] if values else math.nan

    def values(self) -> list[float]:
        """Return all values that there are."""
        return [value for _, value in self.points if math.isfinite(value)]


def prometheus(url: str) -> Ask:
    """Return what asks a Prometheus."""

    def ask(path: str, parameters: Mapping[str, str]) -> Any:
        form = urlencode(parameters).encode()
        with urlopen(f"{url}/api/v1/{path}", form) as answer:  # noqa: S310  # given by the user
            return json.load(answer)["data"]["result"]

    return ask


def with_instances(ask: Ask, stretch: Stretch) -> Stretch:
    """Return the stretch with all instances that the dashboards' variable would offer."""
    range_ = f"{stretch.end - stretch.start:.0f}s"
    query = f"group by (instance) (last_over_time(pipeline_config_info[{range_}]))"
    found = ask("query", {"query": query, "time": f"{stretch.end:.3f}"})
    return stretch._replace(instances="|".join(each["metric"]["instance"] for each in found))


def curves(ask: Ask, target: Mapping[str, Any], stretch: Stretch) -> list[Series]:
    """Return the curves of a query over the stretch, those without a value left out."""
    found = ask(
        "query_range",
        {
            "query": _filled(target["expr"], stretch),
            "start": f"{stretch.start:.3f}",
            "end": f"{stretch.end:.3f}",
            "step": f"{stretch.step:g}",
        },
    )
    legend = target.get("legendFormat", "")
    series = [
        Series(
            named(legend, each["metric"]),
            each["metric"],
            [(float(at), float(value)) for at, value in each["values"]],
        )
        for each in found
    ]
    return sorted((each for each in series if each.values()), key=lambda each: each.name)


def cells(
    ask: Ask, target: Mapping[str, Any], stretch: Stretch
) -> list[tuple[dict[str, str], float]]:
    """Return what a query of a table answers at the end of the stretch."""
    query = {"query": _filled(target["expr"], stretch), "time": f"{stretch.end:.3f}"}
    return [(each["metric"], float(each["value"][1])) for each in ask("query", query)]


def named(legend: str, labels: Mapping[str, str]) -> str:
    """Return a legend with its labels filled in."""
    if legend in {"", "__auto"}:
        return ", ".join(f"{name}={value}" for name, value in sorted(labels.items())) or "value"
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def _filled(expression: str, stretch: Stretch) -> str:
    given = {
        "$__rate_interval": stretch.rate,
        "$__interval": f"{stretch.step:g}s",
        "$instance": stretch.instances,
    }
    return filled(expression, {**EVERYTHING, **given})
