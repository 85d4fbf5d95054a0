"""The board's panels on the record that is followed: its trace and its journey. Pure."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from lanternpipe.demo import text
from lanternpipe.demo.panels import (
    DEAD,
    FRAME,
    FRAME_ROWS,
    INCOMING,
    LATENCY,
    PROCESSED,
    QUIET,
    framed,
)
from lanternpipe.demo.trace_tree import SHORT_ID, Row, Trace
from lanternpipe.ops.journey import Journey
from lanternpipe.ops.journey_tree import as_tree

TRACE_ROWS = 5  # a frame, both spans, and the record between them
JOURNEY_ROWS = 13  # a frame, and what there is to tell of a dead letter, so that nothing jumps
SERVICE, TIME = 21, 9  # columns
LABEL = 38  # columns, where there is a time line beside it
LEAST_LINE = 12  # columns: a shorter time line tells nothing
NONE_YET = "none so far that crossed Kafka"


def trace_panel(trace: Trace | None, width: int) -> RenderableType:
    """Return a record's trace as a tree, with a time line where there is room for one."""
    if trace is None:
        return framed(Text(NONE_YET, QUIET), "a record's trace", "", height=TRACE_ROWS)
    title = f"a record's trace, {trace.trace_id[:SHORT_ID]}…, {_ms(trace.milliseconds)}"
    colour = DEAD if any(span.error for span in trace.spans) else INCOMING
    table = trace_table(trace, width - FRAME)
    remark = text.shortened(text.readable(trace.remark.encode(), width), width - FRAME - 4)
    height = max(TRACE_ROWS, FRAME_ROWS + len(trace.rows()))
    return framed(table, title, remark if trace.remark else "", colour=colour, height=height)


def trace_rows(trace: Trace | None) -> int:
    """Return how high the panel of a trace is."""
    return TRACE_ROWS if trace is None else max(TRACE_ROWS, FRAME_ROWS + len(trace.rows()))


def journey_panel(journey: Journey, width: int, rows: int = 0) -> RenderableType:
    """Return a record's journey, drawn as ``lanternpipe journey`` draws it.

    Args:
        journey: What to draw.
        width: Columns.
        rows: How high it is at least.
    """
    title = f"its way, as `lanternpipe journey {journey.event}` draws it"
    colour = DEAD if journey.letters else PROCESSED
    height = max(rows, journey_rows(journey, width))
    title = text.shortened(title, width - FRAME - 4)
    return framed(as_tree(journey), title, "", colour=colour, height=height)


def journey_rows(journey: Journey, width: int) -> int:
    """Return how high the panel of a journey is."""
    console = Console(width=max(1, width - FRAME), file=io.StringIO())
    return FRAME_ROWS + len(console.render_lines(as_tree(journey)))


def trace_table(trace: Trace, width: int) -> Table:
    """Return the lines of a trace: span, service, begin and length, and a time line."""
    fixed = SERVICE + 2 * TIME + 3
    line = width - fixed - LABEL - 1
    label = max(1, width - fixed) if line < LEAST_LINE else LABEL
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=label, no_wrap=True, overflow="ellipsis")
    table.add_column(width=SERVICE, no_wrap=True, overflow="ellipsis")
    table.add_column(width=TIME, justify="right", no_wrap=True)
    table.add_column(width=TIME, justify="right", no_wrap=True)
    if line >= LEAST_LINE:
        table.add_column(width=line, no_wrap=True)
    for row in trace.rows():
        cells = _cells(row)
        if line >= LEAST_LINE:
            cells.append(Text(_stretch(row, trace.milliseconds, line), _colour(row)))
        table.add_row(*cells)
    return table


def _cells(row: Row) -> list[Text]:
    name = text.readable(row.label.encode(), 200)
    label = Text.assemble((row.guide, QUIET), (name, "bold" if row.span else QUIET))
    service = Text(text.readable(row.service.encode(), 100), _colour(row))
    if row.span is None:
        return [label, service, Text(), Text()]
    return [label, service, Text(f"at {_ms(row.begin_ms)}", QUIET), Text(_ms(row.length_ms))]


def _colour(row: Row) -> str:
    if row.span is None:
        return QUIET
    if row.span.error:
        return DEAD
    return INCOMING if row.span.operation == "send" else LATENCY


def _stretch(row: Row, whole: float, width: int) -> str:
    """Return when a span was, on a line that is as long as the trace."""
    if row.span is None or whole <= 0:
        return ""
    begin = min(width - 1, int(row.begin_ms / whole * width))
    length = max(1, min(width - begin, round(row.length_ms / whole * width)))
    return " " * begin + "━" * length


def _ms(milliseconds: float) -> str:
    """Return a duration; with a decimal where it would be lost."""
    if 0 < milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    return text.milliseconds(milliseconds)
