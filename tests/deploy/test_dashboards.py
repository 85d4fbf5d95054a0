"""The dashboards as files: whole, readable, and made of names that exist."""

from __future__ import annotations

import os
import re
from itertools import combinations
from typing import Any

import promql_parser
import pytest

from deploy.grafana.generate.__main__ import DASHBOARDS, differing
from deploy.grafana.generate.boards import BOARDS
from deploy.grafana.generate.words import SOURCES
from deploy.grafana.reading import Asked, dashboards, filled, panels, queries
from lanternpipe.telemetry.catalogue import ATTRIBUTES, COMMON_LOG_FIELDS, LOG_LINES
from tests.deploy.grammars import FAULTY, NoNodeError, trees
from tests.deploy.names import ALERTS, foreign, labels_named, ours, recorded, selectors

UIDS = {
    f"lanternpipe-{name}"
    for name in (
        *("overview", "lag", "latency", "cost", "failures"),
        *("clients", "broker", "telemetry", "load", "logs"),
    )
}
WIDE = 24
OF_ALERTS = {"ALERTS", "ALERTS_FOR_STATE"}  # Prometheus makes them of the alerts
# What Loki makes of a log record besides its attributes: of the resource, of the severity; and
# the name that the dashboards give to the line itself, which is the event's.
OF_LOG_RECORDS = {"service_name", "severity_text", "event"}


@pytest.fixture(name="dashboard", params=[board.file for board in BOARDS])
def _dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return each dashboard, by its file."""
    (found,) = [each for each, board in _with_boards() if board.file == request.param]
    return found


def _with_boards() -> list[tuple[dict[str, Any], Any]]:
    by_uid = {each["uid"]: each for each in dashboards()}
    return [(by_uid[board.uid], board) for board in BOARDS]


def every(source: str) -> list[Asked]:
    """Return all queries of all dashboards to one data source."""
    return [asked for each in dashboards() for asked in queries(each) if asked.source == source]


def test_dashboards_are_as_generated() -> None:
    """The committed files are what the generator writes; `make generate` mends a difference."""
    assert differing(DASHBOARDS) == []


def test_all_dashboards_are_there() -> None:
    """The addresses that alerts and documents lead to exist."""
    assert {each["uid"] for each in dashboards()} == UIDS


def test_panels_say_what_they_show(dashboard: dict[str, Any]) -> None:
    """Every panel has a title of its own, a description, a unit, thresholds and a data source."""
    shown = panels(dashboard)
    titles = [panel["title"] for panel in shown]
    for panel in shown:
        where = f"{dashboard['uid']}: {panel['title']}"
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"].strip(), where
        assert panel["description"].strip().endswith("."), where
        assert defaults["unit"], where
        assert defaults["thresholds"]["steps"], where
        assert panel["datasource"]["uid"] in SOURCES, where
        assert {each["datasource"]["uid"] for each in panel["targets"]} == {
            panel["datasource"]["uid"]
        }, where
        if panel["type"] == "stat":  # else it would show what was so when the last one told
            assert [each["instant"] for each in panel["targets"]] == [True], where
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"], where
    of_rows = {each["title"] for each in dashboard["panels"] if each["type"] == "row"}
    assert len(of_rows) > 1
    assert dashboard["description"].endswith("?")
    twice = {title for title in titles if titles.count(title) > 1}
    assert not {title for title in twice if _kinds(dashboard, title) == 1}, "nobody can tell them"


def _kinds(dashboard: dict[str, Any], title: str) -> int:
    """Count the kinds of panels of a title: a number and its curve may share one."""
    return len({panel["type"] for panel in panels(dashboard) if panel["title"] == title})


def test_panels_have_places_of_their_own(dashboard: dict[str, Any]) -> None:
    """No two panels have the same number or lie upon each other, and none leaves the grid."""
    everything = dashboard["panels"]
    numbers = [each["id"] for each in everything]
    assert len(set(numbers)) == len(numbers)
    for each in everything:
        place = each["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= WIDE, each["title"]
    for one, other in combinations(everything, 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{one['title']} lies upon {other['title']}"


def test_links_lead_somewhere(dashboard: dict[str, Any]) -> None:
    """A board links to all others, and every link of a panel leads to a board that exists."""
    linked = {link["url"].removeprefix("/d/") for link in dashboard["links"]}
    assert linked == UIDS - {dashboard["uid"]}
    assert all(link["keepTime"] and link["includeVars"] for link in dashboard["links"])
    for panel in panels(dashboard):
        for link in panel["fieldConfig"]["defaults"].get("links", []):
            (uid,) = re.findall(r"^/d/([a-z-]+)\?", link["url"])
            assert uid in UIDS, panel["title"]


def test_variables_are_given(dashboard: dict[str, Any]) -> None:
    """One or many groups and instances can be chosen on every board, and each filter names one."""
    found = {each["name"]: each for each in dashboard["templating"]["list"]}
    for name in ("group", "instance"):
        assert found[name]["multi"], name
        assert found[name]["includeAll"], name
        assert found[name]["query"].startswith("label_values(pipeline_config_info"), name
    used = {
        name for asked in queries(dashboard) for name in re.findall(r"\$(?!__)(\w+)", asked.text)
    }
    assert used <= found.keys()


def test_rates_have_the_range_of_grafana() -> None:
    """A rate's range follows the zoom; fixed ranges stand only where the title says the time."""
    fixed = {
        asked.panel for asked in every("prometheus") if re.search(r"\[\d+[smhd]\]", asked.text)
    }
    assert fixed == {"Standing partitions", "Stalls", "Left behind"}


@pytest.mark.parametrize("asked", every("prometheus"), ids=str)
def test_promql_names_what_exists(asked: Asked) -> None:
    """A query parses, and names known metrics and, of ours, labels that they have."""
    expression = promql_parser.parse(filled(asked.text))
    known, others = ours(), foreign() | recorded() | OF_ALERTS
    names = {str(selector.name) for selector in selectors(expression)}
    assert names
    assert names <= known.keys() | others
    for labels, of in labels_named(expression):
        if of <= known.keys():
            allowed = frozenset().union(*(known[name] for name in of))
            assert labels <= allowed, f"{sorted(labels - allowed)} of {sorted(of)}"
        elif of <= OF_ALERTS:
            assert labels <= ALERTS | {"group", "topic", "partition", "instance"}


@pytest.mark.parametrize("asked", every("prometheus"), ids=str)
def test_processors_are_filtered(asked: Asked) -> None:
    """What processors tell is shown of the chosen groups, and of clients the chosen instances."""
    if asked.uid == "lanternpipe-telemetry" or asked.panel == "[Versions]":
        return  # on purpose of all programs
    for selector in selectors(promql_parser.parse(asked.text.replace("$__rate_interval", "1m"))):
        name = str(selector.name)
        given = {matcher.name for matcher in selector.matchers.matchers}
        labels = ours().get(name, frozenset())
        if "group" in labels:
            assert "group" in given, name
        elif "messaging_consumer_group_name" in labels:
            assert "messaging_consumer_group_name" in given, name
        elif name.startswith("pipeline:"):
            assert "group" in given, name
        elif name.startswith(("rdkafka_", "python_gc_")) and "and on" not in asked.text:
            assert "instance" in given, name


def test_log_and_trace_queries_name_what_exists() -> None:
    """LogQL and TraceQL parse by Grafana's grammars, and name fields of the catalogue."""
    asked = [*every("loki"), *every("tempo")]
    try:
        parsed = trees([(each.source, filled(each.text)) for each in asked])
    except NoNodeError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    fields = {field for line in LOG_LINES.values() for field in line.fields} | COMMON_LOG_FIELDS
    named: set[str] = set()
    for each, nodes in zip(asked, parsed, strict=True):
        assert FAULTY not in {name for name, _ in nodes}, f"{each}: {each.text}"
        found = {text for name, text in nodes if name == "Identifier"}
        allowed = fields | OF_LOG_RECORDS if each.source == "loki" else ATTRIBUTES.keys()
        assert found <= allowed, f"{each}: {sorted(found - allowed)}"
        named |= found
    assert {"first", "severity_text", "pipeline.event.id", "error.type"} <= named
    events = set(re.findall(r"[a-z]+(?:_[a-z]+)+", " ".join(_events(each.text) for each in asked)))
    assert events
    assert events <= LOG_LINES.keys()


def _events(query: str) -> str:
    """Return the names of events that a query looks for in the line."""
    return " ".join(re.findall(r'\|[=~] "([^"]+)"', query))


def test_broken_queries_are_seen() -> None:
    """The grammars refuse what is no query; a parser that takes everything would prove nothing."""
    broken = [("loki", '{service_name="a"} | level='), ("tempo", "{ span.error.type = }")]
    try:
        parsed = trees(broken)
    except NoNodeError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    assert [FAULTY in {name for name, _ in nodes} for nodes in parsed] == [True, True]
    with pytest.raises(ValueError, match="invalid"):
        promql_parser.parse("sum by (rate(x[1m]))")
