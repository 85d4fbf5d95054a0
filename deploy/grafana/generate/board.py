"""A board: panels in rows, the variables, the links to the other boards, and the deploys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.generate.panels import Empty, Panel
from deploy.grafana.generate.words import BLUE, ORANGE, PURPLE, filtered

COLUMNS = 24
TAG = "lanternpipe"
PROMETHEUS = models.DataSourceRef("prometheus", "prometheus")

# A series that was not there two minutes ago is a new version, or new settings.
VERSIONS = """
    count by (version) (pipeline_build_info)
    unless count by (version) (pipeline_build_info offset 2m)
"""
SETTINGS = """
    count by (group, app, delivery, fingerprint) (pipeline_config_info{<G>})
    unless count by (group, app, delivery, fingerprint) (pipeline_config_info{<G>} offset 2m)
"""
STARTS = "(time() - process_start_time_seconds{<I>}) < 60"
DEPLOYS = (
    ("Versions", VERSIONS, "Version {{version}} runs", PURPLE),
    (
        "Settings",
        SETTINGS,
        "{{group}} runs {{app}}, {{delivery}}, settings {{fingerprint}}",
        ORANGE,
    ),
    ("Starts", STARTS, "{{instance}} has started", BLUE),
)


@dataclass(frozen=True)
class Board:
    """One dashboard.

    Attributes:
        uid: In its address, and the name of its file.
        title: Its name.
        question: What it answers.
        rows: Panels under titles.
        variables: More of them than group and instance.
    """

    uid: str
    title: str
    question: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    variables: Sequence[dashboard.TextBoxVariable | dashboard.CustomVariable] = ()

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.uid}.json"

    def panels(self) -> list[Panel]:
        """Return all panels."""
        return [panel for _, panels in self.rows for panel in panels]

    def empty(self) -> dict[tuple[str, str], Empty]:
        """Return what may be empty and why, by the panel's title and the query's letter."""
        return {
            (panel.title, ref): empty
            for panel in self.panels()
            for ref, empty in panel.empty.items()
        }


def as_json(board: Board, boards: Sequence[Board]) -> str:
    """Return a board as Grafana reads it, with links to all others."""
    built: dict[str, Any] = json.loads(json.dumps(_built(board, boards), cls=JSONEncoder))
    for annotation, (_, _, title, _) in zip(built["annotations"]["list"], DEPLOYS, strict=True):
        # What the SDK's model of an annotation leaves out.
        annotation |= {"titleFormat": title, "step": "60s", "useValueForTime": False}
    built.pop("id", None)  # Grafana gives it; in a file it would clash
    return json.dumps(built, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _built(board: Board, boards: Sequence[Board]) -> models.Dashboard:
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.question)
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
    )
    for variable in (*_variables(), *board.variables):
        builder = builder.with_variable(variable)
    for other in boards:
        if other is not board:
            builder = builder.link(_link(other))
    for name, expression, _, colour in DEPLOYS:
        annotation = dashboard.AnnotationQuery().name(name).datasource(PROMETHEUS)
        builder = builder.annotation(
            annotation.enable(enable=name != "Starts").icon_color(colour).expr(filtered(expression))
        )
    return _placed(builder, board.rows).build()


def _placed(
    builder: dashboard.Dashboard, rows: Sequence[tuple[str, Sequence[Panel]]]
) -> dashboard.Dashboard:
    """Give every panel its number and its place: from left to right, then below."""
    top = number = 0
    for title, panels in rows:
        number += 1
        row = dashboard.Row(title).id(number)
        builder = builder.with_row(row.grid_pos(models.GridPos(1, COLUMNS, 0, top)))
        top, left, height = top + 1, 0, 0
        for panel in panels:
            if left + panel.width > COLUMNS:
                top, left, height = top + height, 0, 0
            number += 1
            place = models.GridPos(panel.height, panel.width, left, top)
            builder = builder.with_panel(panel.builder.id(number).grid_pos(place))
            left, height = left + panel.width, max(height, panel.height)
        top += height
    return builder


def _variables() -> tuple[dashboard.QueryVariable, ...]:
    """Return the variables that all boards have."""
    metric = "pipeline_config_info"
    return (
        _variable("group", "Group", f"label_values({metric}, group)").all_value(".*"),
        # Without a value for all, so that it is those of the chosen groups.
        _variable("instance", "Instance", f'label_values({metric}{{group=~"$group"}}, instance)'),
    )


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(query)
        .multi(multi=True)
        .include_all(include_all=True)
        .current(everything)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def _link(board: Board) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(board.title.removeprefix("Lanternpipe: "))
        .type(models.DashboardLinkType.LINK)
        .url(f"/d/{board.uid}")
        .tooltip(board.question)
        .icon("dashboard")
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )
