"""Looks at a stack that ``make up`` has started, as its user would: ``make smoke``.

Every target answers, a record can be seen as a number, as a trace and as a line, and every query of
every dashboard is answered by Grafana. What is not so after a while is told, one line each.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from deploy.compose.links import CROSSING, LOKI, TEMPO, admitted, published
from deploy.grafana.generate.boards import BOARDS
from deploy.grafana.reading import dashboards, filled, panels

WAIT_SECONDS = 240.0  # some queries look over minutes
ASK_EVERY = 2.0
ANSWER_SECONDS = 15.0
SERVICES = ("grafana", "prometheus", "alertmanager", "kafka")
BACKWARDS = ("now-30m", "now")

Ask = Callable[..., Any]  # as Visitor.ask


class Failure(NamedTuple):
    """What is not as it should be."""

    what: str
    why: str


class Check(NamedTuple):
    """One promise, and what looks whether it is kept: nothing, or why not."""

    what: str
    look: Callable[[], str]


def prometheus_checks(ask: Ask, url: str, quiet: float | None) -> list[Check]:
    """Return what is asked of Prometheus.

    Args:
        ask: Asks it.
        url: Where it is.
        quiet: For how many seconds no alert may have fired; None: alerts do not matter.
    """

    def samples(query: str) -> list[Any]:
        found: list[Any] = ask(f"{url}/api/v1/query", query=query)["data"]["result"]
        return found

    def none(query: str) -> str:
        return ", ".join(str(each["metric"]) for each in samples(query))

    def some(query: str) -> str:
        return "" if samples(query) else f"no result of {query}"

    checks = [
        Check("every target is up", lambda: none("up == 0")),
        Check("ten kinds of targets are known", lambda: some("count(count by (job) (up)) >= 10")),
        Check(
            "records are processed",
            lambda: some('sum(rate(pipeline_records_total{outcome="processed"}[1m])) > 0'),
        ),
        Check("nothing is unaccounted", lambda: none("pipeline_ledger_unaccounted_records != 0")),
    ]
    if quiet is not None:
        fired = f'ALERTS{{alertstate="firing", severity=~"page|ticket"}}[{quiet:.0f}s]'
        checks.append(Check("no alert has fired", lambda: none(f"max_over_time({fired})")))
    return checks


def tempo_check(ask: Ask, grafana: str) -> Check:
    """Return what is asked of Tempo."""
    url = grafana + TEMPO

    def look() -> str:
        found = ask(f"{url}/api/search", q=CROSSING, limit="1").get("traces")
        if not found:
            return f"no trace of {CROSSING}"
        ask(f"{url}/api/traces/{found[0]['traceID']}")
        return ""

    return Check("a trace crosses Kafka", look)


def loki_check(ask: Ask, grafana: str) -> Check:
    """Return what is asked of Loki."""
    query = '{service_name="lanternpipe-processor"} | trace_id != ""'

    def look() -> str:
        found = ask(f"{grafana}{LOKI}/loki/api/v1/query_range", query=query, limit="1")
        return "" if found["data"]["result"] else f"no line of {query}"

    return Check("a line of a processor names its trace", look)


def grafana_checks(ask: Ask, url: str, boards: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Return what is asked of Grafana: each dashboard, and all that its panels ask."""
    may_be_empty = {(board.uid, *place) for board in BOARDS for place in board.empty()}

    def board(uid: str) -> Check:
        def look() -> str:
            ask(f"{url}/api/dashboards/uid/{uid}")
            return ""

        return Check(f"{uid} is there", look)

    def target(uid: str, panel: str, wanted: Mapping[str, Any]) -> Check:
        source = wanted["datasource"]["uid"]
        empty = source != "prometheus" or (uid, panel, wanted["refId"]) in may_be_empty

        def look() -> str:
            if source == "tempo":  # Grafana's own search goes this way, too
                ask(f"{url}{TEMPO}/api/search", q=filled(wanted["query"]), limit="1")
                return ""
            query = {**wanted, "expr": filled(wanted["expr"]), "intervalMs": 15_000}
            since, until = BACKWARDS
            body = {"queries": [{**query, "maxDataPoints": 500}], "from": since, "to": until}
            result = ask(f"{url}/api/ds/query", body)["results"][wanted["refId"]]
            if "error" in result:
                return str(result["error"])
            values = [each["data"]["values"] for each in result.get("frames", [])]
            return "" if empty or any(any(each) for each in values) else "no data"

        return Check(f"{uid}: {panel} ({wanted['refId']})", look)

    return [
        check
        for dashboard in boards
        for check in (
            board(dashboard["uid"]),
            *(
                target(dashboard["uid"], panel["title"], each)
                for panel in panels(dashboard)
                for each in panel["targets"]
            ),
        )
    ]


def failures(
    checks: Sequence[Check],
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> list[Failure]:
    """Look until all is well, or time is over; return what is not."""
    deadline = clock() + seconds
    open_checks = list(checks)
    while True:
        found = {check: why for check in open_checks if (why := _looked(check))}
        open_checks = list(found)
        if not found or clock() >= deadline:
            return [Failure(check.what, why) for check, why in found.items()]
        pause(ASK_EVERY)


def _looked(check: Check) -> str:
    try:
        return check.look()
    except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is not as it should be; 0 only if nothing is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, help="seconds for all to be so")
    parser.add_argument(
        "--quiet-since", type=float, help="so many seconds ago; no alert may have fired since"
    )
    options = parser.parse_args(arguments)
    visitor = admitted(os.environ)
    ask = partial(visitor.ask, timeout=ANSWER_SECONDS)
    at = published(visitor.scheme)
    if missing := [name for name in SERVICES if name not in at]:
        print(f"not running, or not published: {', '.join(missing)}")
        return 1
    checks = [
        *prometheus_checks(ask, at["prometheus"], options.quiet_since),
        tempo_check(ask, at["grafana"]),
        loki_check(ask, at["grafana"]),
        *grafana_checks(ask, at["grafana"], dashboards()),
    ]
    found = failures(checks, options.wait)
    for each in found:
        print(f"{each.what}: {each.why}")
    print(f"{len(checks) - len(found)} of {len(checks)} are as they should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
