"""Writes numbers as Grafana does, for the units that the dashboards use."""

from __future__ import annotations

import math

THOUSANDS = ("", "K", "M", "B", "T")
SUFFIXES = {"recps": " rec/s", "cps": " /s", "Bps": "B/s", "bytes": "B"}
PARTS_OF_SECONDS = {"s": 1.0, "ms": 0.001, "µs": 0.000_001}
TIMES = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"), (0.001, "ms"), (0.000_001, "µs"))


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a value with its unit."""
    if not math.isfinite(value):
        return "no data"
    if unit == "percentunit":
        return f"{_short(value * 100, decimals)}%"
    if unit in PARTS_OF_SECONDS:
        return _time(value * PARTS_OF_SECONDS[unit])
    if unit.startswith("suffix:"):
        return _short(value, decimals) + unit.removeprefix("suffix:").replace(" ", "")
    if unit == "none":
        return _short(value, decimals)
    return _scaled(value, decimals) + SUFFIXES.get(unit, "")


def _short(value: float, decimals: int | None = None) -> str:
    """Return a number with as many places as are worth reading."""
    size = abs(value)
    if decimals is None:
        decimals = 0 if size >= 100 or size == int(size) else 1 if size >= 10 else 2
        if 0 < size < 0.01:  # two digits of what is small
            decimals = 1 - math.floor(math.log10(size))
    return f"{value:.{decimals}f}"


def _scaled(value: float, decimals: int | None) -> str:
    power = 0
    while abs(value) >= 1_000 and power < len(THOUSANDS) - 1:
        value, power = value / 1_000, power + 1
    return _short(value, decimals) + THOUSANDS[power]


def _time(value: float) -> str:
    if value == 0:
        return "0 s"
    for size, name in TIMES:
        if abs(value) >= size:
            return f"{_short(value / size)} {name}"
    return f"{_short(value * 1e6)} µs"
