"""The pictures of the dashboards, drawn from answers that were recorded in a real run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from deploy.grafana.reading import dashboards, panels
from deploy.grafana.render.chart import starts
from deploy.grafana.render.data import Series, Stretch
from deploy.grafana.render.picture import LABEL, picture
from deploy.grafana.render.tables import colour_of
from deploy.grafana.render.units import written

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
STRETCH = Stretch(*RECORDED["stretch"])
SVG = "{http://www.w3.org/2000/svg}"
IMAGES = Path(__file__).parents[2] / "docs" / "images"


def recorded(path: str, parameters: Mapping[str, str]) -> Any:
    """Answer as Prometheus did."""
    return RECORDED[path].get(parameters["query"], [])


def overview() -> dict[str, Any]:
    """Return the dashboard whose answers are recorded."""
    (found,) = [each for each in dashboards() if each["uid"] == "lanternpipe-overview"]
    return found


def texts(svg: str) -> list[str]:
    """Return what can be read in a picture."""
    return [each.text or "" for each in ET.fromstring(svg).iter(f"{SVG}text")]


def test_a_picture_has_all_panels_and_says_what_it_is() -> None:
    """Every panel is there by its title, and nobody can take the picture for a screenshot."""
    shown = texts(picture(overview(), recorded, STRETCH))
    assert LABEL in shown
    for panel in panels(overview()):
        assert any(each.startswith(panel["title"][:12]) for each in shown), panel["title"]


def test_a_picture_shows_what_was_answered() -> None:
    """Numbers, curves, rows and marks come from the answers, in the board's colours."""
    svg = picture(overview(), recorded, STRETCH)
    without = picture(overview(), lambda _path, _given: [], STRETCH)
    shown = texts(svg)
    worst = next(panel for panel in panels(overview()) if panel["title"] == "Worst lag")
    (answer,) = recorded("query", {"query": _query(worst)})
    assert written(float(answer["value"][1]), "s") in shown
    assert "processed" in shown
    alerts = next(panel for panel in panels(overview()) if panel["title"] == "Alerts that fire")
    for row in recorded("query", {"query": _query(alerts)}):
        assert row["metric"]["alertname"] in shown
    assert "#73BF69" in svg
    assert "processed" not in texts(without)
    assert "no data" in texts(without)
    assert "none" in texts(without)


def _query(panel: Mapping[str, Any]) -> str:
    text: str = panel["targets"][0]["expr"]
    return text.replace("$group", ".*")


def test_nothing_leaves_a_picture() -> None:
    """All that is drawn lies within the picture, and nothing is fetched from elsewhere."""
    svg = picture(overview(), recorded, STRETCH)
    root = ET.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for each in root.iter():
        for name, limit in (("x", width), ("y", height), ("x1", width), ("y1", height)):
            assert -1 <= float(each.get(name, 0)) <= limit + 1, each.attrib
        for x, y in (pair.split(",") for pair in each.get("points", "").split()):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


def test_rows_can_be_left_out() -> None:
    """The first rows alone make a lower picture."""
    whole, first = (picture(overview(), recorded, STRETCH, rows) for rows in (0, 1))
    heights = [float(ET.fromstring(svg).attrib["height"]) for svg in (whole, first)]
    assert heights[1] < heights[0] / 3
    assert "Flow by outcome" not in texts(first)


def test_a_kind_that_is_not_drawn_is_refused() -> None:
    """A panel of another kind is an error, not a hole."""
    board = deepcopy(overview())
    board["panels"][1]["type"] = "piechart"
    with pytest.raises(ValueError, match="piechart"):
        picture(board, recorded, STRETCH)


def test_committed_pictures_say_what_they_are() -> None:
    """The pictures of the README are pictures of these dashboards, and say so."""
    for name in ("dashboard-overview.svg", "dashboard-lag.svg"):
        assert LABEL in texts((IMAGES / name).read_text())


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.0, "s", "0 s"),
        (0.0123, "s", "12.3 ms"),
        (150.0, "s", "2.50 min"),
        (0.853, "percentunit", "85.3%"),
        (-0.5, "percentunit", "-50%"),
        (12_345.0, "short", "12.3K"),
        (250.4, "recps", "250 rec/s"),
        (14.4, "suffix: x", "14.4x"),
        (3.0, "none", "3"),
        (3_880.0, "µs", "3.88 ms"),
        (math.nan, "s", "no data"),
    ],
)
def test_numbers_are_written_with_their_units(value: float, unit: str, expected: str) -> None:
    """A number is as long as is worth reading, and has its unit."""
    assert written(value, unit) == expected


def test_thresholds_give_colours() -> None:
    """A value has the colour of the highest step that it reaches."""
    steps: list[dict[str, Any]] = [
        {"value": None, "color": "green"},
        {"value": 5, "color": "orange"},
        {"value": 60, "color": "red"},
    ]
    assert [colour_of(steps, value) for value in (-1, 4.9, 5, 59, 60, 1e9)] == [
        *("green", "green", "orange", "orange", "red", "red")
    ]


def test_what_happened_is_marked_where_a_curve_begins() -> None:
    """A curve that begins, or begins again after a gap, is one mark each."""
    points = [(at, 1.0) for at in (10, 11, 12, 30, 31)]
    assert starts([Series("a", {}, points)], 1.0) == [10, 30]
