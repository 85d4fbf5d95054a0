"""Runs the drills: first nothing, then the faults; keeps the times, and what came unasked.

Faults that concern one group are made on several groups at once, one after the other on each; what
concerns all is done alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from tests.chaos.waiting import until
from tests.stack.drills.catalogue import LASTING, WATCHDOG
from tests.stack.drills.plan import Drill
from tests.stack.drills.stage import Say, Stage
from tests.stack.drills.watch import Episode

CLEARS_SECONDS = 60.0
SETTLE_SECONDS = 60.0
CALM_SECONDS = 5.0  # before the quiet run: what came with the start has gone
LOOK_EVERY = 0.1
LATE, NOT_YET_FRESH = "late", "pipeline:fresh:bad_ratio5m > 0"


@dataclass
class Measured:
    """What became of one alert in its drill; None for what did not happen in time.

    Attributes:
        fires: Seconds from the fault until Alertmanager had the alert.
        clears: Seconds from the fault's end until Alertmanager had it no longer.
        labels: All of the alert's labels.
        annotations: Likewise.
    """

    fires: float | None = None
    clears: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What became of a drill.

    Attributes:
        drill: Which.
        alerts: By name.
        began: When the fault was begun, in monotonic seconds.
        ended: When all of its alerts had gone.
        error: What went wrong with the fault itself; empty if nothing.
    """

    drill: Drill
    alerts: dict[str, Measured]
    began: float
    ended: float = 0.0
    error: str = ""


@dataclass
class Report:
    """What became of all drills.

    Attributes:
        quiet_seconds: How long nothing was done.
        quiet: Alerts that were there meanwhile; the watchdog's is meant to.
        outcomes: Of the drills.
        unasked: Alerts that came while no fault was there that is a reason for them.
        seconds: How long all of it took, but for the start.
    """

    quiet_seconds: float = 0.0
    quiet: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    seconds: float = 0.0


def conduct(
    stage: Stage,
    phases: Sequence[Sequence[Sequence[Drill]]],
    quiet_seconds: float,
    say: Say,
) -> Report:
    """Run all drills; what fails is in the report, and what comes after it is run all the same."""
    report = Report(quiet_seconds)
    began = time.monotonic()
    _await_calm(stage, lambda *_: True, say, "the start", CALM_SECONDS)
    quiet_since = time.monotonic()
    say(f"nothing is done for {quiet_seconds:.0f} s")
    until(lambda: time.monotonic() > quiet_since + quiet_seconds, quiet_seconds + 5, "quiet")
    report.quiet = [told(each) for each in stage.watch.episodes(quiet_since)]
    say(f"alerts: {', '.join(report.quiet) or 'none'}")
    since = time.monotonic()
    for tracks in phases:
        if tracks:
            with ThreadPoolExecutor(len(tracks)) as pool:
                more = tracks is not phases[-1]
                for outcomes in pool.map(partial(_tracked, stage, say=say, more=more), tracks):
                    report.outcomes += outcomes
    report.unasked = [
        f"{told(each)} after {each.began - since:.0f} s"
        for each in stage.watch.episodes(since)
        if each.alert.name != WATCHDOG and not _explained(stage, each, report.outcomes)
    ]
    report.seconds = time.monotonic() - began
    return report


def told(episode: Episode) -> str:
    """Say in a few words which alert it was."""
    labels = episode.alert.labels
    names = ("group", "topic", "partition", "job", "instance", "messaging_destination_name")
    about = [f"{name}={labels[name]}" for name in names if name in labels]
    return " ".join([episode.alert.name, *about])


def _explained(stage: Stage, episode: Episode, outcomes: Sequence[Outcome]) -> bool:
    """Tell whether an alert came during a drill, on its site, whose fault is a reason for it."""
    return any(
        each.began <= episode.began
        and (episode.began <= each.ended or episode.alert.name in LASTING)
        and each.drill.explains(episode.alert.name)
        and (each.drill.everywhere or stage.sites[each.drill.site].owns(episode.alert.labels))
        for each in outcomes
    )


def _tracked(stage: Stage, track: Sequence[Drill], *, say: Say, more: bool) -> list[Outcome]:
    """Run drills one after the other on a group, each once it is calm; ``more`` come after them."""
    outcomes = []
    for drill in track:
        outcomes.append(_drilled(stage, drill, say))

        def concerned(name: str, labels: Mapping[str, str], drill: Drill = drill) -> bool:
            known = drill.explains("PipelineFreshnessBurn" if name == LATE else name)
            return known and _is_of(stage, drill, name, labels)

        if more or drill is not track[-1]:
            _await_calm(stage, concerned, say, drill.name)
        outcomes[-1].ended = time.monotonic()
    return outcomes


def _drilled(stage: Stage, drill: Drill, say: Say) -> Outcome:
    outcome = Outcome(drill, {name: Measured() for name in drill.alerts}, time.monotonic())
    say(f"{drill.name}: begins on {drill.site}")
    try:
        with drill.fault(stage):
            _await_all(stage, outcome, say)
        _await_none(stage, outcome, say)
    except Exception as error:  # noqa: BLE001  # the other drills go on
        outcome.error = repr(error)
        say(f"{drill.name}: {error!r}")
    return outcome


def _await_all(stage: Stage, outcome: Outcome, say: Say) -> None:
    """Wait until all alerts of a drill fire, or the deadline."""
    drill = outcome.drill
    missing = set(drill.alerts)
    while missing and time.monotonic() < outcome.began + drill.seconds:
        for episode in stage.watch.episodes(outcome.began):
            name = episode.alert.name
            new = episode.began >= outcome.began
            if new and name in missing and _is_of(stage, drill, name, episode.alert.labels):
                measured = outcome.alerts[name]
                measured.fires = round(episode.began - outcome.began, 1)
                measured.labels = episode.alert.labels
                measured.annotations = episode.alert.annotations
                missing.remove(name)
                say(f"{drill.name}: {name} fires after {measured.fires} s")
        time.sleep(LOOK_EVERY)
    for name in sorted(missing):
        say(f"{drill.name}: {name} DOES NOT FIRE")


def _await_none(stage: Stage, outcome: Outcome, say: Say) -> None:
    """Wait until all alerts of a drill have gone, or the deadline."""
    drill, undone = outcome.drill, time.monotonic()
    fired = {name for name, measured in outcome.alerts.items() if measured.fires is not None}
    fired -= LASTING
    while fired and time.monotonic() < undone + CLEARS_SECONDS:
        there = {
            name
            for each in stage.watch.there()
            if _is_of(stage, drill, name := each.alert.name, each.alert.labels)
        }
        for name in sorted(fired - there):
            fired.remove(name)
            seconds = outcome.alerts[name].clears = round(time.monotonic() - undone, 1)
            say(f"{drill.name}: {name} is gone after {seconds} s")
        time.sleep(LOOK_EVERY)
    for name in sorted(fired):
        say(f"{drill.name}: {name} DOES NOT GO")


def _is_of(stage: Stage, drill: Drill, name: str, labels: Mapping[str, str]) -> bool:
    """Tell whether an alert tells of what a drill hurts."""
    return drill.labels.get(name, {}).items() <= labels.items() and (
        drill.everywhere or stage.sites[drill.site].owns(labels)
    )


def _await_calm(
    stage: Stage,
    concerned: Callable[[str, Mapping[str, str]], bool],
    say: Say,
    after: str,
    steady: float = 0.0,
) -> None:
    """Wait until nothing that concerns somebody fires, or is about to, or the deadline.

    Args:
        stage: Where.
        concerned: Whether an alert matters, by its name and labels.
        say: Is told what is left by the deadline.
        after: For that.
        steady: For how many seconds nothing must fire.
    """
    quiet_since = time.monotonic()

    def left() -> list[str]:
        there = [(each.alert.name, each.alert.labels) for each in stage.watch.there()]
        if not steady:
            labels = (each["labels"] for each in stage.prometheus.alerts())
            there += [(each["alertname"], each) for each in labels]
        # Lateness that lasts becomes an alert only later.
        there += [(LATE, each.labels) for each in stage.prometheus.query(NOT_YET_FRESH)]
        return [
            f"{name} {labels.get('group', '')}"
            for name, labels in there
            if name not in LASTING | {WATCHDOG} and concerned(name, labels)
        ]

    def calm() -> bool:
        nonlocal quiet_since
        if left():
            quiet_since = time.monotonic()
            return False
        return time.monotonic() >= quiet_since + steady

    try:
        until(calm, SETTLE_SECONDS, "calm")
    except AssertionError:
        say(f"after {after} still there: {', '.join(left())}")
