"""Which metrics, and which labels of ours, dashboards and rules may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import promql_parser
import yaml

from lanternpipe.telemetry.catalogue import METRICS, Metric

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
# Prometheus gives these to what it scrapes, and `le` belongs to every histogram.
OF_TARGETS = frozenset({"job", "instance", "__name__"})
ALERTS = frozenset({"alertname", "alertstate", "severity"})


def ours() -> dict[str, frozenset[str]]:
    """Return the labels of all series of the catalogue's metrics, by the series' name."""
    found = {}
    for metric in METRICS:
        labels = frozenset(metric.labels) | OF_TARGETS
        for name in _series(metric):
            found[name] = labels | {"le"} if name.endswith("_bucket") else labels
    return found


def foreign() -> set[str]:
    """Return the metrics of other programs that may be named."""
    lines = (PROMETHEUS / "foreign_metrics.txt").read_text().splitlines()
    return {line for line in map(str.strip, lines) if line and not line.startswith("#")}


def recorded() -> set[str]:
    """Return what the recording rules record."""
    files = (yaml.safe_load(file.read_text()) for file in PROMETHEUS.glob("rules/*.yml"))
    rules = (rule for file in files for group in file["groups"] for rule in group["rules"])
    return {rule["record"] for rule in rules if "record" in rule}


def selectors(expression: promql_parser.Expr) -> list[promql_parser.VectorSelector]:
    """Return all selectors of an expression; a range's own is visited by itself."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(expression, visit)
    return found


def labels_named(expression: promql_parser.Expr) -> list[tuple[frozenset[str], set[str]]]:
    """Return the labels that each part of an expression names, and the metrics that must have one.

    These are the matchers of a selector, and the labels by which is summed or matched.
    """
    found: list[tuple[frozenset[str], set[str]]] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            named = frozenset(matcher.name for matcher in node.matchers.matchers)
            found.append((named, {str(node.name)}))
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found.append((frozenset(node.modifier.labels), _names(node.expr)))
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None:
            matching = node.modifier.matching
            if matching is not None:
                found.append((frozenset(matching.labels), _names(node.lhs)))
        return True

    promql_parser.walk(expression, visit)
    return found


def _names(expression: promql_parser.Expr) -> set[str]:
    return {str(selector.name) for selector in selectors(expression)}


def _series(metric: Metric) -> tuple[str, ...]:
    name = metric.exposed
    return (
        tuple(f"{name}_{part}" for part in ("bucket", "sum", "count"))
        if metric.kind == "histogram"
        else (name,)
    )
