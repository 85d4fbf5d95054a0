"""Prints where to look once the stack is up: ``make up`` ends with it.

A dashboard without data and a search without traces look like a broken stack, so it waits for
both, up to a limit. Needs nothing but Python and the services' own answers.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WAIT_SECONDS = 60.0  # a scrape, a trace's way through the Collector, and Tempo's own delay
ASK_EVERY = 1.0
ANSWER_SECONDS = 3.0

# The ports inside; outside they are what .env says.
PORTS = {
    "grafana": 3000,
    "prometheus": 9090,
    "alertmanager": 9093,
    "tempo": 3200,
    "loki": 3100,
    "kafka": 9092,
}

PROCESSORS = "count(pipeline_config_info)"
# One record's way through Kafka: written by the one program, read by the other.
CROSSING = (
    '{ resource.service.name = "lanternpipe-producer" }'
    ' && { resource.service.name = "lanternpipe-processor" }'
)


class Link(NamedTuple):
    """What to look at, and where, or why there is no address."""

    name: str
    target: str


def report(
    addresses: dict[str, str],
    *,
    seconds: float = WAIT_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Link]:
    """Return the links of what runs, after the first data have come or ``seconds`` have passed.

    Args:
        addresses: ``host:port`` by service; those that do not run are left out.
        seconds: How long to wait in all.
        sleep: Waits between two looks.
    """
    deadline = time.monotonic() + seconds
    links = []
    if server := addresses.get("kafka"):
        links.append(Link("Kafka", server))
    grafana, prometheus = addresses.get("grafana"), addresses.get("prometheus")
    if prometheus:
        filled = _until(deadline, sleep, lambda: _processors(prometheus))
        if grafana:
            target = f"http://{grafana}/d/lanternpipe-overview?from=now-15m&to=now&refresh=10s"
            links.append(Link("Overview", target + ("" if filled else " (no data yet)")))
        links.append(Link("Alert rules", f"http://{prometheus}/alerts"))
    if alertmanager := addresses.get("alertmanager"):
        links.append(Link("Alertmanager", f"http://{alertmanager}/#/alerts"))
    if grafana and (tempo := addresses.get("tempo")):
        trace = _until(deadline, sleep, lambda: _trace(tempo))
        links.append(
            Link("One trace", _explore(grafana, trace))
            if trace
            else Link("One trace", f"none within {seconds:.0f} s; search http://{grafana}/explore")
        )
    return links


def _processors(prometheus: str) -> str | None:
    """Return how many processors Prometheus has seen."""
    found = _ask(prometheus, "/api/v1/query", query=PROCESSORS)
    try:
        return str(found["data"]["result"][0]["value"][1])
    except (KeyError, IndexError, TypeError):
        return None


def _trace(tempo: str) -> str | None:
    """Return the id of a trace that went through the whole pipeline."""
    found = _ask(tempo, "/api/search", q=CROSSING, limit="1")
    try:
        return str(found["traces"][0]["traceID"])
    except (KeyError, IndexError, TypeError):
        return None


def _explore(grafana: str, trace: str) -> str:
    """Return the address of a trace in Grafana's Explore."""
    source = {"type": "tempo", "uid": "tempo"}
    query = {"refId": "A", "datasource": source, "queryType": "traceql", "query": trace}
    pane = {
        "datasource": "tempo",
        "queries": [query],
        "range": {"from": "now-1h", "to": "now"},
    }
    panes = json.dumps({"trace": pane}, separators=(",", ":"))
    return f"http://{grafana}/explore?schemaVersion=1&orgId=1&panes={quote(panes)}"


def _until(
    deadline: float, sleep: Callable[[float], None], look: Callable[[], str | None]
) -> str | None:
    while True:
        if (found := look()) or time.monotonic() >= deadline:
            return found
        sleep(ASK_EVERY)


def _ask(address: str, path: str, **parameters: str) -> Any:
    """Return a JSON answer, or nothing if none comes."""
    try:
        with urllib.request.urlopen(
            f"http://{address}{path}?{urlencode(parameters)}", timeout=ANSWER_SECONDS
        ) as answer:
            return json.load(answer)
    except (OSError, ValueError, http.client.HTTPException):
        return None


def published() -> dict[str, str]:
    """Return the published address of every service that runs, as Compose tells it."""
    listed = subprocess.run(
        ["docker", "compose", "ps", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    addresses = {}
    for line in listed.splitlines():  # one object a line
        container = json.loads(line)
        for port in container.get("Publishers") or ():
            if port["PublishedPort"] and port["TargetPort"] == PORTS.get(container["Service"]):
                addresses[container["Service"]] = f"{port['URL']}:{port['PublishedPort']}"
    return addresses


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the links; never fails for want of data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, help="seconds for first data")
    options = parser.parse_args(arguments)
    links = report(published(), seconds=options.wait)
    width = max((len(link.name) for link in links), default=0)
    for link in links:
        print(f"  {link.name:{width}}  {link.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
