"""Shapes and text as SVG, in the colours of Grafana's dark theme."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

BACKGROUND, PANEL, BORDER = "#111217", "#181b1f", "#2c3235"
TEXT, FAINT, GRID = "#d8d9da", "#8e9197", "#2a2e33"
FONT = "Inter, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif"
# Of curves without a colour of their own.
PALETTE = (
    *("#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9"),
    *("#3274D9", "#37872D", "#E0B400", "#C4162A", "#A352CC", "#96D98D", "#FFA6B0"),
)
WIDTH_OF_LETTER = 0.51  # of the size of the font, on average


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float

    def inside(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Return the rectangle less its margins."""
        width, height = self.width - left - right, self.height - top - bottom
        return Box(self.x + left, self.y + top, width, height)


def text(
    x: float,
    y: float,
    content: str,
    *,
    size: float = 12,
    colour: str = TEXT,
    anchor: str = "start",
    weight: int = 400,
    room: float = 0,
) -> str:
    """Return a line of text; what does not fit into ``room`` is cut off."""
    if room:
        content = cut(content, room, size)
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}" '
        f'text-anchor="{anchor}" font-weight="{weight}">{escape(content)}</text>'
    )


def cut(content: str, room: float, size: float) -> str:
    """Return as much of a text as fits."""
    letters = max(1, int(room / (size * WIDTH_OF_LETTER)))
    return content if len(content) <= letters else content[: letters - 1] + "…"


def rectangle(
    box: Box, colour: str, *, border: str = "none", opacity: float = 1, radius: float = 0
) -> str:
    """Return a filled rectangle."""
    return (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{max(0, box.width):.1f}" '
        f'height="{max(0, box.height):.1f}" fill="{colour}" fill-opacity="{opacity:g}" '
        f'stroke="{border}" rx="{radius:g}"/>'
    )


def line(
    x1: float, y1: float, x2: float, y2: float, colour: str, *, dash: str = "", width: float = 1
) -> str:
    """Return a straight line."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )


def curve(points: Sequence[tuple[float, float]], colour: str, *, width: float = 1.5) -> str:
    """Return a line through points; a single one is a dot."""
    if len(points) == 1:
        (x, y) = points[0]
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
        f'stroke-linejoin="round"/>'
    )


def area(
    upper: Sequence[tuple[float, float]],
    lower: Sequence[tuple[float, float]],
    colour: str,
    opacity: float,
) -> str:
    """Return what lies between two lines."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*upper, *reversed(lower)))
    return f'<polygon points="{path}" fill="{colour}" fill-opacity="{opacity:g}"/>'
