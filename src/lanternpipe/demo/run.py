"""``lanternpipe demo``: the whole pipeline at work in one process, and a picture of it."""

from __future__ import annotations

import inspect
import os
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from lanternpipe.demo import plain
from lanternpipe.demo.board import export_svg
from lanternpipe.demo.engine import Engine
from lanternpipe.demo.notes import Notes
from lanternpipe.demo.show import Show, in_lines, leave_picture, on_terminal
from lanternpipe.demo.stage import Stage, embedded, on_broker
from lanternpipe.demo.state import ENDED, About, State
from lanternpipe.demo.tracing import tracing
from lanternpipe.pipeline import Pipeline
from lanternpipe.ports import Log
from lanternpipe.runtime.lifecycle import EXIT_STOP_TIMED_OUT, StopRequest
from lanternpipe.runtime.watchdog import end_process
from lanternpipe.settings import Settings

EXIT_UNACCOUNTED = 1
PICTURE_SECONDS = 0.25
SVG_COLUMNS, SVG_ROWS = 100, 28
# More than all limits of an end that goes wrong.
GRACE_SECONDS = 45.0


def run_demo(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    *,
    log: Log,
    seconds: float | None,
    as_json: bool,
    rate: float | None,
    poison: float,
    filtered: float,
    seed: int,
    broker: str | None,
    stream: TextIO | None = None,
    picture: Path | None = None,
) -> int:
    """Run the demo until it is interrupted; return the exit code.

    Args:
        settings: What is in force.
        pipeline: The user's.
        log: Gets warnings and errors, where no board shows them.
        seconds: For how long; None for no end.
        as_json: Whether to write one JSON object at the end, and else nothing, to ``stream``.
        rate: Events per second; None for as fast as the pipeline takes them.
        poison: Share of broken records, 0 to 1.
        filtered: Share of events that the transform filters out, 0 to 1.
        seed: Of the samples.
        broker: Address of a real broker; None for one in memory.
        stream: Where to write; standard output by default.
        picture: Where to leave the last picture as SVG.

    Raises:
        LanternpipeError: Something ended it before its time.
    """
    out = stream or sys.stdout
    on_board = not as_json and out.isatty() and os.environ.get("TERM") != "dumb"
    notes = Notes(log)
    stop = StopRequest(GRACE_SECONDS)
    samples = pipeline.samples(
        seed=seed, filtered=filtered, poison=poison, large=False, clock=time.time
    )
    with stop.on_signals():
        with (
            _stage(settings, pipeline, broker, notes, stop) as stage,
            tracing(stage.settings, stage.names.input, rate, notes) as traced,
        ):
            about = _about(stage, pipeline, poison)
            engine = Engine(
                stage,
                pipeline,
                about=about,
                samples=samples,
                rate=rate,
                notes=notes,
                tracing=traced,
            )
            show_on = on_terminal(out) if on_board else in_lines(sys.stderr if as_json else out)
            # The board is gone before the end begins: a second Ctrl-C must not leave its screen.
            with show_on as show, notes.silently() if on_board else nullcontext():
                engine.start()
                last = _watch(engine, show, seconds, stop)
            if on_board:
                out.write("finishing what is on the way; Ctrl-C again ends at once\n")
            stop.ask()  # from here on, time is limited
            hanging = engine.finish()
            ended = engine.monitor.look()
            figures, followed = ended.figures, ended.followed
        if picture is not None:
            svg = export_svg(last, width=SVG_COLUMNS, height=SVG_ROWS, title="lanternpipe demo")
            picture.write_text(svg, encoding="utf-8")
        last = replace(
            last,
            status=ENDED,
            flowing=False,
            figures=figures,
            lag_records=figures.in_flight,
            lag_seconds=0.0,
            trouble=notes.last,
            followed=followed,
        )
        if on_board:
            leave_picture(out, last)
        elif not as_json:
            out.write(plain.encodable(plain.story(followed), out.encoding))
        out.write(f"{plain.as_json(figures, followed) if as_json else plain.summary(figures)}\n")
        out.flush()
        if hanging:
            end_process(EXIT_STOP_TIMED_OUT, f"did not end in time: {', '.join(hanging)}")
    if engine.error is not None:
        raise engine.error
    return EXIT_UNACCOUNTED if figures.unaccounted else 0


def _stage(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    broker: str | None,
    log: Log,
    stopping: Callable[[], bool],
) -> AbstractContextManager[Stage]:
    if broker is None:
        return embedded(settings, pipeline, log=log)
    name = f"demo-{uuid.uuid4().hex[:6]}"
    return on_broker(settings, pipeline, broker=broker, name=name, log=log, stopping=stopping)


def _watch(
    engine: Engine, show: Show, seconds: float | None, stopping: Callable[[], bool]
) -> State:
    """Show state after state until it is time to end; return the last."""
    while True:
        state = engine.monitor.look()
        show(state)
        if stopping() or engine.error is not None:
            return state
        if seconds is not None and state.elapsed >= seconds:
            return state
        # Not a wait for the stop request: its lock must not be held when the signal comes.
        time.sleep(PICTURE_SECONDS)


def _about(stage: Stage, pipeline: Pipeline[Any, Any], poison: float) -> About:
    names = stage.names
    return About(
        app=stage.settings.app,
        where=stage.where,
        remark=stage.remark,
        input=names.input,
        output=names.output,
        dead_letters=names.dead_letters,
        transform=_source(pipeline.transform),
        poison=poison,
    )


def _source(function: Callable[..., Any]) -> str:
    """Return the file in which a function is written, as seen from here."""
    try:
        path = Path(inspect.getfile(function))
    except TypeError:  # something callable that is no function
        path = Path(inspect.getfile(type(function)))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
