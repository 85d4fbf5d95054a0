"""The board's panels: the streams, a dead letter, some events. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lanternpipe.demo import text
from lanternpipe.demo.series import halved, sparkline
from lanternpipe.demo.state import Flow, Letter, Seen, State

FRAME = 4  # columns that a panel's border and padding take
FLOW_ROWS = 8
LETTER_ROWS = 5
FRAME_ROWS = 2
EVENT_FRAME_ROWS = 3
WIDE = 110  # columns from which on there is room for the topics' names
HALF_SECOND_BARS = 70
CELL = 60  # most characters of a field

INCOMING, PROCESSED, FILTERED, DEAD, LATENCY = "yellow", "green", "cyan", "red", "magenta"
QUIET = "bright_black"


def flow_panel(state: State, width: int) -> Panel:
    """Return the streams: what came in, and where it went."""
    wide = width >= WIDE
    bars = width - FRAME - 37 - (28 if wide else 0)
    figures, flows, about = state.figures, state.flows, state.about
    table = Table.grid(padding=(0, 1))
    table.add_column(width=14, no_wrap=True)
    if wide:
        table.add_column(width=27, no_wrap=True)
    table.add_column(width=10, justify="right", no_wrap=True)
    table.add_column(width=10, justify="right", no_wrap=True)
    table.add_column(width=max(1, bars), no_wrap=True)

    def add(
        label: str, place: str, colour: str, first: str, second: str, last: RenderableType
    ) -> None:
        where = [Text(text.shortened(place, 27), QUIET)] if wide else []
        table.add_row(
            Text(label, f"bold {colour}"), *where, Text(first, "bold"), Text(second), last
        )

    def add_flow(label: str, place: str, colour: str, total: int, flow: Flow) -> None:
        history = Text(_bars(flow.history, bars), colour)
        add(label, place, colour, f"{total:,}", text.rate(flow.rate), history)

    add_flow("records in", about.input, INCOMING, figures.produced, flows.incoming)
    add_flow("├ processed", about.output, PROCESSED, figures.processed, flows.processed)
    add_flow("├ filtered", "by the transform", FILTERED, figures.filtered, flows.filtered)
    add_flow("├ dead letters", about.dead_letters, DEAD, figures.dead_lettered, flows.dead_lettered)
    behind = f"lag {text.records(state.lag_records)}, oldest {state.lag_seconds:.1f} s"
    add("╰ on the way", "", "default", f"{max(0, figures.on_the_way):,}", "", Text(behind, QUIET))
    add(
        "end to end",
        "seen from outside",
        LATENCY,
        f"p50 {text.milliseconds(state.p50_ms)}",
        f"p99 {text.milliseconds(state.p99_ms)}",
        Text(_bars(state.latency, bars), LATENCY),
    )
    return framed(table, f"{about.app} on {about.where}", about.remark)


def letter_panel(state: State, width: int, rows: int = LETTER_ROWS) -> Panel:
    """Return the last dead letter, with its reason and as much of its value as there is room."""
    inner, lines = width - FRAME, rows - FRAME_ROWS - 1
    kinds = " · ".join(f"{kind} {count:,}" for kind, count in state.kinds)
    title = f"a record in {state.about.dead_letters}, and why"
    if state.letter is None:
        share = f"{state.about.poison:.0%} of the records are broken on purpose"
        body: RenderableType = Text(f"none so far; {share}\n\n", QUIET)
    else:
        body = Group(_reason(state.letter, inner), _value(state.letter, inner, lines))
    return framed(body, title, text.shortened(kinds, inner - 4), colour=DEAD, height=rows)


def event_panel(state: State, width: int, rows: int) -> Panel:
    """Return a few events as they came out, the newest first."""
    shown = state.events[:rows]
    body: RenderableType = Text("none so far", QUIET)
    if shown:
        # As wide as all that are kept need it, so that columns stay where they are.
        columns = _columns([_fields(each.value) for each in state.events], width - FRAME - 8)
        body = _events(shown, columns)
    title = f"some events in {state.about.output}"
    return framed(body, title, "", colour=PROCESSED, height=EVENT_FRAME_ROWS + rows)


def framed(
    body: RenderableType, title: str, subtitle: str, *, colour: str = INCOMING, height: int = 0
) -> Panel:
    """Return a panel with a title above, and a subtitle below if there is one."""
    return Panel(
        body,
        box=box.ROUNDED,
        title=Text(title, colour),
        title_align="left",
        subtitle=Text(subtitle, QUIET) if subtitle else None,
        subtitle_align="right",
        border_style=QUIET,
        padding=(0, 1),
        height=height or None,
    )


def _bars(history: Sequence[float], width: int) -> str:
    """Return half seconds as bars where there is room for them, else whole seconds."""
    return sparkline(history if width >= HALF_SECOND_BARS else halved(history), width)


def _reason(letter: Letter, width: int) -> Text:
    reason = Text.assemble((letter.kind, f"bold {DEAD}"), no_wrap=True, overflow="ellipsis")
    if letter.frame:
        reason.append(f": {letter.error} at ").append(letter.frame, "bold")
    elif letter.field or letter.limit:
        reason.append(": ").append(letter.field or "the value", "bold")
        wanted = f"must be {letter.limit}" if letter.limit else "is wrong"
        reason.append(" is missing" if letter.limit == "required" else f" {wanted}")
    if (gap := width - reason.cell_len - len(letter.origin)) >= 2:
        reason.append(" " * gap).append(letter.origin, QUIET)
    return reason


def _value(letter: Letter, width: int, rows: int) -> Text:
    name = letter.field.rpartition(".")[2].partition("[")[0]
    around = f'"{name}"' if name else ""
    value = Text(text.excerpt(text.readable(letter.value, 2_000), rows * width - 1, around))
    value.overflow = "fold"
    if around:
        value.highlight_words([around], f"bold {DEAD}")
    return value


def _events(events: Sequence[Seen], columns: Mapping[str, int]) -> Table:
    """Return events as a table of some of their fields, and how old they were."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for size in columns.values():
        table.add_column(width=size, no_wrap=True)
    table.add_column(width=8, justify="right", no_wrap=True)
    header = [Text(text.shortened(name, size), QUIET) for name, size in columns.items()]
    table.add_row(*header, Text("latency", QUIET))
    for event in events:
        fields = _fields(event.value)
        cells = [Text(text.shortened(fields.get(name, ""), size)) for name, size in columns.items()]
        table.add_row(*cells, Text(text.milliseconds(event.after_ms), LATENCY))
    return table


def _fields(value: bytes) -> dict[str, str]:
    """Return an event's fields as text; one without a name if it is not a JSON object."""
    try:
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        fields = {}
    if not fields:
        return {"": text.readable(value, CELL)}
    # Quotes are noise in a table.
    return {name: text.readable(bytes(raw).strip(b'"'), CELL) for name, raw in fields.items()}


def _columns(rows: Sequence[dict[str, str]], room: int) -> dict[str, int]:
    """Return which columns fit, and their widths; identifiers are cut, as are long names.

    The first fields are kept, and the last: what a transform adds is often there.
    """
    *others, last = rows[0]

    def width(name: str, longest_name: int) -> int:
        longest = max(len(fields.get(name, "")) for fields in rows)
        return max(9 if longest > 24 else longest, min(len(name), longest_name))

    for longest_name in (24, 13):
        left = room - width(last, longest_name)
        kept: dict[str, int] = {}
        for name in others:
            left -= width(name, longest_name) + 2
            if left < 0:
                break
            kept[name] = width(name, longest_name)
        if left >= 0:
            break
    kept[last] = width(last, longest_name)
    return kept
