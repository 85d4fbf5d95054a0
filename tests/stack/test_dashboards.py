"""Every query of every dashboard, asked of a real Prometheus about a real pipeline."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from deploy.grafana.generate.boards import BOARDS
from deploy.grafana.generate.panels import Fault
from deploy.grafana.reading import EVERYTHING, Asked, dashboards, filled, queries
from tests.chaos.waiting import until
from tests.stack.drills.shorten import Clock
from tests.stack.failing import BUG, FREEZE, RETRY
from tests.stack.whole import Whole, whole

SECONDS = 60.0
# A window holds some scrapes, which come each second.
CLOCK = Clock(factor=60.0, window=4.0, step=1.0)
# What no machine without their images can run. Their queries are parsed, and the names that they
# use looked up in the catalogue, by tests/deploy/test_dashboards.py.
CANNOT_RUN = {"loki", "tempo"}


def has_data(stack: Whole, asked: Asked) -> bool:
    """Say whether a query has a value now."""
    # As Grafana has it where all are chosen: each that the variable's query finds.
    instances = "|".join(stack.addresses)
    values = {**EVERYTHING, "$__rate_interval": "5s", "$instance": instances}
    found = stack.prometheus.query(filled(asked.text, values))
    return any(not math.isnan(sample.value) for sample in found)


def await_data(stack: Whole, wanted: list[Asked], after: str) -> None:
    """Wait until each query has had a value."""
    missing = list(wanted)

    def all_have() -> bool:
        missing[:] = [asked for asked in missing if not has_data(stack, asked)]
        return not missing

    try:
        until(all_have, SECONDS, f"data after {after}")
    except AssertionError as error:
        error.add_note("\n".join(f"no data: {each}: {each.text}" for each in missing))
        raise


def by_fault() -> dict[Fault | None, list[Asked]]:
    """Return the queries to Prometheus by the fault that fills them; None is a good day."""
    empty = {(board.uid, *place): why for board in BOARDS for place, why in board.empty().items()}
    found: dict[Fault | None, list[Asked]] = {}
    for dashboard in dashboards():
        for asked in queries(dashboard):
            if asked.source not in CANNOT_RUN:
                why = empty.pop((asked.uid, asked.panel, asked.ref), None)
                found.setdefault(why.fault if why else None, []).append(asked)
    assert not empty, "marks of panels that are not there"
    return found


@contextmanager
def _poison(stack: Whole) -> Iterator[None]:
    stack.deployment.run("produce", "--rate", "200", "--count", "400", "--poison", "0.3")
    yield


@contextmanager
def _lookup(stack: Whole) -> Iterator[None]:
    stack.send(300, locale=RETRY)
    stack.send(5, locale=BUG)
    yield


@contextmanager
def _kill(stack: Whole) -> Iterator[None]:
    for each in stack.processors:
        each.kill()
    yield


@contextmanager
def _backlog(stack: Whole) -> Iterator[None]:
    stack.send(2_000)
    for each in stack.processors:
        each.start()
    yield


@contextmanager
def _freeze(stack: Whole) -> Iterator[None]:
    stack.send(1, locale=FREEZE)
    members = "pipeline_group_members == 1"
    until(lambda: bool(stack.prometheus.query(members)), SECONDS, "the frozen one is expelled")
    for each in stack.processors:
        each.send(signal.SIGCONT)
    yield


@contextmanager
def _collector(stack: Whole) -> Iterator[None]:
    stack.sink.ill = "refuses"
    stack.say(20)
    until(
        lambda: bool(stack.prometheus.query("otelcol_exporter_send_failed_log_records_total > 0")),
        SECONDS,
        "lines that are not delivered",
    )
    stack.sink.ill = "hangs"
    yield
    stack.sink.ill = ""


# In this order: who waits for a backlog must have been dead.
FAULTS: dict[Fault, Callable[[Whole], AbstractContextManager[None]]] = {
    "poison": _poison,
    "lookup": _lookup,
    "freeze": _freeze,
    "kill": _kill,
    "backlog": _backlog,
    "collector": _collector,
}


def test_every_query_has_data(tmp_path: Path, unique: Callable[[str], str]) -> None:
    """On a good day all panels show something, but for those whose fault is then made."""
    wanted = by_fault()
    assert wanted.keys() - {None} == FAULTS.keys()
    with whole(tmp_path, unique("shown"), rate=50, clock=CLOCK, every="1s") as stack:
        stack.say(10)
        await_data(stack, wanted[None], "a good day")
        for fault, make in FAULTS.items():
            with make(stack):
                await_data(stack, wanted[fault], fault)
