"""The demo's picture: a state in, something that rich can draw out. Pure."""

from __future__ import annotations

import io

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lanternpipe.demo import text
from lanternpipe.demo.followed_panels import (
    JOURNEY_ROWS,
    journey_panel,
    journey_rows,
    trace_panel,
    trace_rows,
)
from lanternpipe.demo.panels import (
    DEAD,
    EVENT_FRAME_ROWS,
    FLOW_ROWS,
    INCOMING,
    LETTER_ROWS,
    PROCESSED,
    QUIET,
    event_panel,
    flow_panel,
    letter_panel,
)
from lanternpipe.demo.state import ENDED, State

HEADER_ROWS = 1
FOOTER_ROWS = 2
MOST_EVENTS = 12


def board(state: State, width: int, height: int) -> RenderableType:
    """Return the picture of a state; what does not fit into ``height`` rows is left out.

    Room goes to the streams, the dead letter, the trace, the journey and the events, in this order.
    """
    left = height - HEADER_ROWS - FLOW_ROWS - FOOTER_ROWS - bool(state.trouble)
    parts: list[RenderableType] = [_header(state, width), flow_panel(state, width)]
    trace, journey = state.followed.trace, state.followed.journey
    if left >= LETTER_ROWS:
        trace_height = trace_rows(trace) if state.traced else 0
        # On 24 rows, a line of the letter's value makes room for one event.
        spare = left - LETTER_ROWS - trace_height == EVENT_FRAME_ROWS
        letter_height = LETTER_ROWS - 1 if spare else LETTER_ROWS
        parts.append(letter_panel(state, width, letter_height))
        left -= letter_height
        if 0 < trace_height <= left:
            parts.append(trace_panel(trace, width))
            left -= trace_height
    if journey is not None:
        journey_height = max(JOURNEY_ROWS, journey_rows(journey, width))
        if journey_height <= left:
            parts.append(journey_panel(journey, width, journey_height))
            left -= journey_height
    if left > EVENT_FRAME_ROWS:
        parts.append(event_panel(state, width, min(left - EVENT_FRAME_ROWS, MOST_EVENTS)))
    if state.trouble:
        trouble = text.readable(state.trouble.encode(), width - 3)
        parts.append(Text(f" ! {trouble}", f"bold {DEAD}", no_wrap=True))
    parts += [_hint("edit", _edit(state)), _hint("next", _next(state))]
    return Group(*parts)


def export_svg(state: State, *, width: int, height: int, title: str) -> str:
    """Return the picture as SVG, for a README."""
    console = Console(
        width=width, height=height, record=True, file=io.StringIO(), force_terminal=True
    )
    console.print(board(state, width, height))
    return console.export_svg(title=title)


def _header(state: State, width: int) -> Table:
    light = ("● ", PROCESSED) if state.flowing else ("◌ ", INCOMING)
    header = Table.grid(expand=True)
    header.add_column(no_wrap=True)
    header.add_column(justify="right", no_wrap=True)
    header.add_row(
        Text.assemble((" lanternpipe demo  ", f"bold {INCOMING}"), light, state.status),
        Text(f"{text.minutes(state.elapsed)} ", QUIET),
    )
    header.width = width
    return header


def _edit(state: State) -> Text:
    return Text.assemble(
        (state.about.transform, "bold"), ", then start the demo again: it runs your code"
    )


def _next(state: State) -> Text:
    proof = Text.assemble(("make test", "bold"), " proves it on a real Kafka")
    if state.status != ENDED:
        proof.append_text(Text.assemble("; ", ("Ctrl-C", "bold"), " ends the demo"))
    return proof


def _hint(label: str, hint: Text) -> Text:
    line = Text.assemble((f" {label}  ", f"bold {INCOMING}"), hint)
    line.no_wrap = True
    line.overflow = "ellipsis"
    return line
