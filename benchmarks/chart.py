"""A bar chart as SVG, readable on light and on dark pages. Pure: measures nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH = 760
ROW = 58
TOP = 56

STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .value { fill: #59636e; text-anchor: end }
  rect { fill: #0969da }
  rect.first { fill: #818b98 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .value { fill: #9198a1 }
    rect { fill: #4493f8 }
  }
"""


class Bar(NamedTuple):
    """One bar: its name, its length, and what stands beside it."""

    name: str
    length: float
    value: str


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Return a chart of horizontal bars from zero; the first, to compare with, is grey."""
    longest = max(bar.length for bar in bars)
    height = TOP + ROW * len(bars)
    label = "; ".join(f"{bar.name}: {bar.value}" for bar in bars)
    frame = f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(f"{title}. {label}")}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="28">{escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        y = TOP + ROW * number
        width = (WIDTH - 16) * bar.length / longest
        kind = ' class="first"' if number == 0 else ""
        parts += [
            f'<text x="8" y="{y + 12}">{escape(bar.name)}</text>',
            f'<text class="value" x="{WIDTH - 8}" y="{y + 12}">{escape(bar.value)}</text>',
            f'<rect{kind} x="8" y="{y + 20}" width="{width:.1f}" height="18" rx="3"/>',
        ]
    return "\n".join([*parts, "</svg>", ""])
