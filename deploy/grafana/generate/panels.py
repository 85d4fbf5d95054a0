"""The vocabulary of the boards: a panel of each kind, dressed alike.

Nobody can make a panel without a title, a description and a unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Literal, NamedTuple, TypeAlias

from grafana_foundation_sdk.builders import common as shared
from grafana_foundation_sdk.builders import (
    dashboard,
    heatmap,
    logs,
    loki,
    prometheus,
    stat,
    statushistory,
    table,
    tempo,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import loki as loki_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.generate.words import COLOURS, PLAIN, Source, Steps, filtered

# What makes a panel show something that is empty while all is well.
Fault = Literal["poison", "lookup", "freeze", "kill", "backlog", "collector"]
Builders: TypeAlias = (
    timeseries.Panel | stat.Panel | table.Panel | heatmap.Panel | statushistory.Panel | logs.Panel
)


class Empty(NamedTuple):
    """Why a query is empty while all is well, and the fault that fills it."""

    reason: str
    fault: Fault


class Query(NamedTuple):
    """One query.

    Attributes:
        text: In the source's language; PromQL with the short filters of ``words.filtered``.
        legend: What names a series.
        exemplars: Whether to show them, with their way to the trace.
        empty: Set where the query is empty while all is well.
        source: Where it is asked.
    """

    text: str
    legend: str = ""
    exemplars: bool = False
    empty: Empty | None = None
    source: Source = "prometheus"


@dataclass(frozen=True)
class Panel:
    """A panel and its size; a board finds its place."""

    title: str
    builder: Builders
    width: int
    height: int
    empty: Mapping[str, Empty] = field(default_factory=dict)


class Column(NamedTuple):
    """One column of a table of numbers.

    Attributes:
        title: Its head.
        query: What it shows; its labels say which row a number belongs to.
        unit: Of its numbers.
        steps: Its colours; none for plain text.
    """

    title: str
    query: Query
    unit: str
    steps: Steps | None = None


def number(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    steps: Steps = PLAIN,
    width: int = 3,
    to: str = "",
    none: str = "no data",
    loud: bool = False,
    decimals: int | None = None,
) -> Panel:
    """Return one number: what is so now, or nothing, and never what was so some time ago.

    ``loud`` ones tell good from bad from afar, ``to`` is the board that tells more, and ``none``
    is shown where there is no value.
    """
    mode = common.BigValueColorMode.BACKGROUND if loud else common.BigValueColorMode.VALUE
    builder = (
        stat.Panel()
        .reduce_options(shared.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(mode)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE)
        .no_value(none)
    )
    if to:
        builder = builder.data_links([_link("More", to)])
    if decimals is not None:
        builder = builder.decimals(decimals)
    return _dressed(builder, title, description, unit, [query], steps, width, 4, instant=True)


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: Steps = PLAIN,
    stacked: Literal["", "normal", "percent"] = "",
    bars: bool = False,
    width: int = 8,
    height: int = 8,
    low: float | None = 0,
    high: float | None = None,
    log: bool = False,
) -> Panel:
    """Return curves over time; thresholds are dashed lines."""
    legend = (
        shared.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
        .calcs(["lastNotNull", "max"])
    )
    tooltip = (
        shared.VizTooltipOptions()
        .mode(common.TooltipDisplayMode.MULTI)
        .sort(common.SortOrder.DESCENDING)
    )
    builder = (
        timeseries.Panel()
        .legend(legend)
        .tooltip(tooltip)
        .line_width(1.5)
        .fill_opacity(70 if stacked else 8)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(span_nulls=False)
        .data_links([_link("Log lines of these minutes", "lanternpipe-logs")])
    )
    if bars:
        builder = builder.draw_style(common.GraphDrawStyle.BARS).fill_opacity(80)
    if stacked:
        mode = {"normal": common.StackingMode.NORMAL, "percent": common.StackingMode.PERCENT}
        builder = builder.stacking(shared.StackingConfig().mode(mode[stacked]).group("A"))
    if len(steps) > 1:
        dashed = common.GraphTresholdsStyleMode.DASHED
        builder = builder.thresholds_style(shared.GraphThresholdsStyleConfig().mode(dashed))
    if log:
        distribution = shared.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        builder = builder.scale_distribution(distribution)
    elif low is not None:
        builder = builder.min(low)
    if high is not None:
        builder = builder.max(high)
    return _dressed(builder, title, description, unit, queries, steps, width, height)


def heat(title: str, description: str, unit: str, query: Query, *, width: int = 8) -> Panel:
    """Return a heat map of a histogram, whose query sums by ``le``, with exemplars."""
    colours = (
        heatmap.HeatmapColorOptions()
        .mode(heatmap_models.HeatmapColorMode.SCHEME)
        .scheme("Turbo")
        .steps(64)
        .scale(heatmap_models.HeatmapColorScale.EXPONENTIAL)
        .exponent(0.5)
        .fill("dark-orange")
    )
    builder = (
        heatmap.Panel()
        .calculate(calculate=False)
        .color(colours)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .exemplars_color("rgba(255,255,255,0.8)")
        .show_legend()
        .show_tooltip()
        .show_y_histogram()
        .data_links([_link("Log lines of these minutes", "lanternpipe-logs")])
    )
    return _dressed(builder, title, description, unit, [query], PLAIN, width, 8, heat=True)


def states(
    title: str, description: str, unit: str, query: Query, *, steps: Steps, width: int = 12
) -> Panel:
    """Return one row of coloured cells for each series: a heat table over time."""
    builder = (
        statushistory.Panel()
        .show_value(common.VisibilityMode.AUTO)
        .row_height(0.9)
        .col_width(0.95)
        .legend(
            shared.VizLegendOptions()
            .show_legend(show_legend=True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .max_data_points(40)  # more cells than that cannot be read
        .data_links([_link("Log lines of these minutes", "lanternpipe-logs")])
    )
    return _dressed(builder, title, description, unit, [query], steps, width, 9)


def numbers(
    title: str,
    description: str,
    unit: str,
    columns: Sequence[Column],
    *,
    rows: Mapping[str, str],
    by: str,
    width: int = 24,
    height: int = 9,
) -> Panel:
    """Return a table: a row for each set of labels, a coloured column for each query.

    ``rows`` has the labels that make a row and the heads of their columns; ``by`` is the head of
    the column to sort by, largest first.
    """
    heads = {
        f"Value #{ref}": each.title for ref, each in zip(ascii_uppercase, columns, strict=False)
    }
    if len(columns) == 1:
        heads = {"Value": columns[0].title}  # one query's column has no letter
    order = [*rows, *heads]
    organize = {
        "excludeByName": {"Time": True, "__name__": True, "alertstate": True},
        "indexByName": {name: place for place, name in enumerate(order)},
        "renameByName": {**rows, **heads},
    }
    builder = (
        table.Panel()
        .with_transformation(models.DataTransformerConfig("merge", options={}))
        .with_transformation(models.DataTransformerConfig("organize", options=organize))
        .sort_by([shared.TableSortByFieldState().display_name(by).desc(desc=True)])
        .cell_height(common.TableCellHeight.SM)
        .show_header(show_header=True)
        .no_value("none")
    )
    for each in columns:
        properties = [models.DynamicConfigValue("unit", each.unit)]
        if each.steps:
            cell = {"type": "color-background", "mode": "gradient"}
            properties += [
                models.DynamicConfigValue("custom.cellOptions", cell),
                models.DynamicConfigValue("color", {"mode": "thresholds"}),
                models.DynamicConfigValue("thresholds", _thresholds(each.steps).build()),
            ]
        builder = builder.override_by_name(each.title, properties)
    queries = [each.query for each in columns]
    return _dressed(builder, title, description, unit, queries, PLAIN, width, height, instant=True)


def log_lines(title: str, description: str, query: Query, *, width: int = 24) -> Panel:
    """Return log lines themselves."""
    builder = (
        logs.Panel()
        .show_time(show_time=True)
        .wrap_log_message(wrap_log_message=True)
        .enable_log_details(enable_log_details=True)
        .sort_order(common.LogsSortOrder.DESCENDING)
        .no_value("no line in this time")
    )
    return _dressed(builder, title, description, "string", [query], PLAIN, width, 12)


def traces(title: str, description: str, query: Query, *, width: int = 24) -> Panel:
    """Return a table of the traces that a TraceQL query finds."""
    builder = table.Panel().show_header(show_header=True).no_value("no trace in this time")
    return _dressed(builder, title, description, "string", [query], PLAIN, width, 8)


def _dressed(
    builder: Builders,
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    steps: Steps,
    width: int,
    height: int,
    *,
    heat: bool = False,
    instant: bool = False,
) -> Panel:
    """Give a panel what every panel has."""
    sources = {query.source for query in queries}
    (source,) = sources
    builder = (
        builder.title(title)
        .description(description)
        .datasource(models.DataSourceRef(source, source))
        .unit(unit)
        .thresholds(_thresholds(steps))
    )
    by_thresholds = len(steps) > 1 and not isinstance(builder, timeseries.Panel)
    mode = "thresholds" if by_thresholds else "palette-classic"
    builder = builder.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId(mode)))
    for ref, query in zip(ascii_uppercase, queries, strict=False):
        rows = isinstance(builder, table.Panel)
        target = _target(ref, query, heat=heat, instant=instant, rows=rows)
        builder = builder.with_target(target)
        for name, colour in _colours(query.legend).items():
            fixed = {"mode": "fixed", "fixedColor": colour}
            builder = builder.override_by_name(name, [models.DynamicConfigValue("color", fixed)])
    empty = {
        ref: query.empty
        for ref, query in zip(ascii_uppercase, queries, strict=False)
        if query.empty
    }
    return Panel(title, builder, width, height, empty)


def _target(ref: str, query: Query, *, heat: bool, instant: bool, rows: bool) -> Builder[Dataquery]:
    """Return a query as its data source wants it."""
    here = models.DataSourceRef(query.source, query.source)
    if query.source == "loki":
        return (
            loki.Dataquery()
            .ref_id(ref)
            .datasource(here)
            .editor_mode(loki_models.QueryEditorMode.CODE)
            .query_type("range")
            .expr(query.text)
            .legend_format(query.legend)
        )
    if query.source == "tempo":
        return (
            tempo.TempoQuery()
            .ref_id(ref)
            .datasource(here)
            .query_type("traceql")
            .query(query.text)
            .limit(20)
        )
    asked = (
        prometheus.Dataquery()
        .ref_id(ref)
        .datasource(here)
        .expr(filtered(query.text))
        .legend_format(query.legend or "__auto")
    )
    if instant:
        asked = asked.instant()
        return asked.format(PromQueryFormat.TABLE) if rows else asked
    asked = asked.range()
    if heat:
        asked = asked.format(PromQueryFormat.HEATMAP)
    return asked.exemplar(exemplar=True) if query.exemplars else asked


def _colours(legend: str) -> Mapping[str, str]:
    """Return the fixed colours of the series that a legend may name."""
    if legend.startswith("{{") and legend.endswith("}}"):
        return COLOURS.get(legend[2:-2], {})
    return {legend: COLOURS[""][legend]} if legend in COLOURS[""] else {}


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(step.value, step.colour) for step in steps])
    )


def _link(title: str, uid: str) -> dashboard.DashboardLink:
    url = f"/d/{uid}?${{__url_time_range}}&${{group:queryparam}}"
    return dashboard.DashboardLink(title).url(url)
