"""How data sources and dashboards come into Grafana."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from deploy.grafana.generate.words import SOURCES
from deploy.grafana.reading import dashboards, panels
from tests.deploy.grammars import FAULTY, NoNodeError, trees

ROOT = Path(__file__).parents[2]
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
MONITORING = ROOT / "deploy" / "compose" / "monitoring.yaml"


def provisioned(kind: str) -> dict[str, Any]:
    """Return a provisioning file."""
    found: dict[str, Any] = yaml.safe_load((PROVISIONING / kind / "lanternpipe.yaml").read_text())
    return found


def by_uid() -> dict[str, dict[str, Any]]:
    """Return the data sources by uid."""
    return {each["uid"]: each for each in provisioned("datasources")["datasources"]}


def test_data_sources_are_those_of_the_dashboards() -> None:
    """Each uid that a dashboard names is provisioned, with the kind that the dashboard expects."""
    sources = by_uid()
    assert sources.keys() == set(SOURCES)
    for dashboard in dashboards():
        for panel in panels(dashboard):
            asked = panel["datasource"]
            assert sources[asked["uid"]]["type"] == asked["type"], panel["title"]


def test_data_sources_lead_to_each_other() -> None:
    """From an exemplar and a log line one comes to the trace, and from there to its lines."""
    sources = by_uid()
    (exemplar,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplar["datasourceUid"] == "tempo"
    assert exemplar["name"] == "trace_id"  # the label that the programs give to their exemplars
    (derived,) = sources["loki"]["jsonData"]["derivedFields"]
    assert derived["datasourceUid"] == "tempo"
    to_logs = sources["tempo"]["jsonData"]["tracesToLogsV2"]
    assert to_logs["datasourceUid"] == "loki"
    query = re.sub(r"\$\$\{[^}]*\}", "0af7651916cd43dd8448eb211c80319c", to_logs["query"])
    try:
        (tree,) = trees([("loki", query)])
    except NoNodeError:
        return  # test_dashboards.py fails, or says that it skips
    assert FAULTY not in {name for name, _ in tree}


def test_dashboards_are_mounted_where_they_are_looked_for() -> None:
    """The folder of the provider is the one that Compose mounts, and so is the home dashboard."""
    (provider,) = provisioned("dashboards")["providers"]
    grafana = yaml.safe_load(MONITORING.read_text())["services"]["grafana"]
    path = provider["options"]["path"]
    assert f"./deploy/grafana/dashboards:{path}:ro" in grafana["volumes"]
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in grafana["volumes"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(path)
    assert (ROOT / "deploy" / "grafana" / "dashboards" / home.name).is_file()
