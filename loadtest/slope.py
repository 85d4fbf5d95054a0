"""A straight line through points, and how sure it is. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import linear_regression

import msgspec

NORMAL_95 = 1.96
LEAST_POINTS = 30


class Slope(msgspec.Struct, frozen=True):
    """A slope per unit of x, and half the width of its 95 % confidence interval.

    Attributes:
        per_unit: The slope.
        confidence: Half a width, for noise that is as independent as its neighbours show.
    """

    per_unit: float
    confidence: float


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """Fit a line by least squares.

    Memory wanders, so that neighbours in time resemble each other and are worth less than as many
    independent points; the first autocorrelation of what the line leaves over tells by how much.

    Args:
        points: x and y, in the order of x.
    """
    if len(points) < LEAST_POINTS or points[0][0] == points[-1][0]:
        return Slope(0.0, math.inf)
    xs, ys = zip(*points, strict=True)
    line = linear_regression(xs, ys)
    rests = [y - line.intercept - line.slope * x for x, y in points]
    squares = sum(rest * rest for rest in rests)
    if squares == 0:
        return Slope(line.slope, 0.0)
    neighbours = sum(one * other for one, other in pairwise(rests)) / squares
    worth = max(3.0, len(points) * (1 - neighbours) / (1 + neighbours))
    mean = sum(xs) / len(xs)
    spread = sum((x - mean) ** 2 for x in xs) / len(xs)
    return Slope(line.slope, NORMAL_95 * math.sqrt(squares / len(xs) / (worth - 2) / spread))
