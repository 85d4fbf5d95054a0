"""Series of numbers over time, and what is read off them: sparklines and percentiles. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# Without the full block: lines of them, one above the other, would become one area.
BARS = "▁▂▃▄▅▆▇"


class Series:
    """The last values of something that is measured twice a second.

    Args:
        keep: How many values at least.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._values: list[float] = []

    def add(self, value: float) -> None:
        """Append a value."""
        self._values.append(value)
        if len(self._values) >= 2 * self._keep:
            # An even number, so that pairs stay pairs and no bar changes once it is drawn.
            del self._values[: self._keep // 2 * 2]

    def values(self) -> tuple[float, ...]:
        """Return the values, oldest first."""
        return tuple(self._values)

    def recent(self, count: int) -> float:
        """Return the mean of the last ``count`` values; 0 when there are none."""
        last = self._values[-count:]
        return sum(last) / len(last) if last else 0.0


def halved(values: Sequence[float]) -> list[float]:
    """Return the means of pairs, from the oldest on; a last value without partner is left out."""
    return [(one + other) / 2 for one, other in zip(values[::2], values[1::2], strict=False)]


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the newest ``width`` values as bars, the newest at the right end.

    Bars start at zero, and the highest is that of the largest value shown.
    """
    shown = values[-width:] if width > 0 else ()
    top = max(shown, default=0.0)
    steps = len(BARS) - 1
    bars = "".join(BARS[round(max(0.0, value) / top * steps) if top > 0 else 0] for value in shown)
    return bars.rjust(max(0, width))


def percentile(counts: Mapping[int, int], share: float) -> int | None:
    """Return the smallest value that at least ``share`` of all are not above; None for nothing.

    Args:
        counts: How often each value was seen.
        share: Such as 0.99.
    """
    left = sum(counts.values()) * share
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return None
