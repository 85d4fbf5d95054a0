"""What PromQL expressions are made of: the metrics and labels that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
    parse,
)

from lanternpipe.telemetry.catalogue import METRICS

SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}
# Prometheus adds the first two itself; the last is that of a histogram's buckets.
OF_TARGETS = frozenset({"job", "instance"})
OURS = {
    metric.exposed + suffix: frozenset(metric.labels) | ({"le"} if suffix == "_bucket" else set())
    for metric in METRICS
    for suffix in SUFFIXES.get(metric.kind, ("",))
}


def parts(expression: Expr) -> Iterator[Expr]:
    """Yield an expression and all that is in it."""
    yield expression
    for each in _below(expression):
        yield from parts(each)


def selectors(expression: str) -> list[VectorSelector]:
    """Return all that an expression asks for."""
    return [part for part in parts(parse(expression)) if isinstance(part, VectorSelector)]


def metrics(expression: str) -> set[str]:
    """Return the names of the metrics in an expression."""
    return {str(selector.name) for selector in selectors(expression)}


def unknown_labels(expression: str, of: Callable[[str], frozenset[str]]) -> set[str]:
    """Return labels that an expression names and that its metrics do not have.

    Args:
        expression: PromQL.
        of: Returns the labels of a metric.
    """

    def within(part: Expr) -> frozenset[str]:
        """Return all labels that come with the metrics in a part."""
        asked = (str(each.name) for each in parts(part) if isinstance(each, VectorSelector))
        return frozenset().union(*map(of, asked))

    unknown: set[str] = set()
    for part in parts(parse(expression)):
        if isinstance(part, VectorSelector):
            unknown |= {each.name for each in part.matchers.matchers} - of(str(part.name))
        elif isinstance(part, AggregateExpr) and part.modifier is not None:
            unknown |= set(part.modifier.labels) - within(part.expr)
        elif isinstance(part, BinaryExpr) and part.modifier and part.modifier.matching:
            named = set(part.modifier.matching.labels)
            unknown |= named - within(part.lhs) | named - within(part.rhs)
    return unknown


def labels_left(expression: str, of: Callable[[str], frozenset[str]]) -> frozenset[str]:
    """Return the labels that the answer of an expression can have."""

    def left(part: Expr) -> frozenset[str]:
        if isinstance(part, VectorSelector):
            return of(str(part.name))
        below = frozenset().union(*map(left, _below(part)))
        if isinstance(part, AggregateExpr):
            named = frozenset(part.modifier.labels) if part.modifier is not None else frozenset()
            by = part.modifier is None or part.modifier.type == AggModifierType.By
            return named if by else below - named
        return below

    return left(parse(expression))


def _below(part: Expr) -> list[Expr]:
    if isinstance(part, BinaryExpr):
        return [part.lhs, part.rhs]
    if isinstance(part, Call):
        return list(part.args)
    if isinstance(part, MatrixSelector):
        return [part.vector_selector]
    if isinstance(part, AggregateExpr | ParenExpr | SubqueryExpr | UnaryExpr):
        return [part.expr]
    return []
