"""Ways to show a running demo: a board on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TextIO, TypeAlias

from rich.console import Console
from rich.live import Live

from lanternpipe.demo.board import board
from lanternpipe.demo.followed_panels import journey_panel, trace_panel
from lanternpipe.demo.following import Followed
from lanternpipe.demo.plain import line
from lanternpipe.demo.state import State

LAST_PICTURE_ROWS = 24
LINE_SECONDS = 1.0

Show: TypeAlias = Callable[[State], None]


@contextmanager
def on_terminal(stream: TextIO) -> Iterator[Show]:
    """Draw on a screen of its own, which is gone after the block."""
    console = Console(file=stream)
    # The alternate screen is overwritten in place: nothing scrolls, nothing flickers.
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield lambda state: live.update(board(state, *console.size), refresh=True)


@contextmanager
def in_lines(stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Iterator[Show]:
    """Write a line a second."""
    told_at = float("-inf")

    def show(state: State) -> None:
        nonlocal told_at
        if clock() - told_at >= LINE_SECONDS:
            told_at = clock()
            stream.write(f"{line(state)}\n")
            stream.flush()

    yield show


def leave_picture(stream: TextIO, state: State) -> None:
    """Draw a last time, among whatever else is on the terminal."""
    console = Console(file=stream)
    without = replace(state, followed=Followed(), traced=False)
    console.print(board(without, console.width, min(console.height - 4, LAST_PICTURE_ROWS)))
    # Below it and whole: what scrolls away first is what was on the board all the time.
    if state.followed.trace is not None:
        console.print(trace_panel(state.followed.trace, console.width))
    if state.followed.journey is not None:
        console.print(journey_panel(state.followed.journey, console.width))
