"""Prints where to look once the stack is up: ``make up`` ends with it.

A dashboard without data and a search without traces look like a broken stack, so it waits for
both, up to a limit. Needs nothing but Python and the services' own answers.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WAIT_SECONDS = 60.0  # a scrape, a trace's way through the Collector, and Tempo's own delay
ASK_EVERY = 1.0
ANSWER_SECONDS = 3.0

# The ports inside; outside they are what .env says.
PORTS = {"grafana": 3000, "prometheus": 9090, "alertmanager": 9093, "kafka": 9092}
SECURE = "secure.yaml"  # among the files of Compose where the stack is locked
USER = "admin"
# Where a server holds what lets us in.
CERTIFICATE, PASSWORD = "/secrets/ca.crt", "/secrets/password"  # pragma: allowlist secret
# By way of Grafana, which asks who we are; they ask nobody.
TEMPO, LOKI = (f"/api/datasources/proxy/uid/{name}" for name in ("tempo", "loki"))

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


class Visitor:
    """Asks services; over TLS and with a login where they are locked.

    Args:
        certificate: Of the authority of the services, as PEM; empty where they speak no TLS.
        password: Of the administrator.
    """

    def __init__(self, certificate: str = "", password: str = "") -> None:
        self.scheme = "https" if certificate else "http"
        context = ssl.create_default_context(cadata=certificate) if certificate else None
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        self._headers = {"Content-Type": "application/json"}
        if password:
            login = base64.b64encode(f"{USER}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {login}"

    def ask(
        self, url: str, body: object = None, *, timeout: float = ANSWER_SECONDS, **parameters: str
    ) -> Any:
        """Return a JSON answer.

        Raises:
            OSError: None comes, or one that tells of an error.
        """
        request = urllib.request.Request(
            f"{url}?{urlencode(parameters)}" if parameters else url,
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers,
        )
        with self._opener.open(request, timeout=timeout) as answer:
            return json.load(answer)


def report(
    addresses: dict[str, str],
    visitor: Visitor,
    *,
    seconds: float = WAIT_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Link]:
    """Return the links of what runs, after the first data have come or ``seconds`` have passed.

    Args:
        addresses: By service; those that do not run are left out.
        visitor: Asks them.
        seconds: How long to wait in all.
        sleep: Waits between two looks.
    """
    deadline = time.monotonic() + seconds
    links = []
    if server := addresses.get("kafka"):
        links.append(Link("Kafka", server))
    grafana, prometheus = addresses.get("grafana"), addresses.get("prometheus")
    if prometheus:
        filled = _until(deadline, sleep, lambda: _processors(visitor, prometheus))
        if grafana:
            target = f"{grafana}/d/lanternpipe-overview?from=now-15m&to=now&refresh=10s"
            links.append(Link("Overview", target + ("" if filled else " (no data yet)")))
        links.append(Link("Alert rules", f"{prometheus}/alerts"))
    if alertmanager := addresses.get("alertmanager"):
        links.append(Link("Alertmanager", f"{alertmanager}/#/alerts"))
    if grafana:
        trace = _until(deadline, sleep, lambda: _trace(visitor, grafana))
        links.append(
            Link("One trace", _explore(grafana, trace))
            if trace
            else Link("One trace", f"none within {seconds:.0f} s; search {grafana}/explore")
        )
    return links


def _processors(visitor: Visitor, prometheus: str) -> str | None:
    """Return how many processors Prometheus has seen."""
    found = _ask(visitor, f"{prometheus}/api/v1/query", query=PROCESSORS)
    try:
        return str(found["data"]["result"][0]["value"][1])
    except (KeyError, IndexError, TypeError):
        return None


def _trace(visitor: Visitor, grafana: str) -> str | None:
    """Return the id of a trace that went through the whole pipeline."""
    found = _ask(visitor, f"{grafana}{TEMPO}/api/search", q=CROSSING, limit="1")
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
    return f"{grafana}/explore?schemaVersion=1&orgId=1&panes={quote(panes)}"


def _until(
    deadline: float, sleep: Callable[[float], None], look: Callable[[], str | None]
) -> str | None:
    while True:
        if (found := look()) or time.monotonic() >= deadline:
            return found
        sleep(ASK_EVERY)


def _ask(visitor: Visitor, url: str, **parameters: Any) -> Any:
    """Return a JSON answer, or nothing if none comes."""
    try:
        return visitor.ask(url, **parameters)
    except (OSError, ValueError, http.client.HTTPException):
        return None


def admitted(environment: Mapping[str, str]) -> Visitor:
    """Return who is let in, as the files of Compose want it."""
    if SECURE not in environment.get("COMPOSE_FILE", ""):
        return Visitor()
    held = _compose("exec", "--no-TTY", "prometheus", "cat", PASSWORD, CERTIFICATE)
    password, begin, rest = held.partition("-----BEGIN")
    return Visitor(begin + rest, password.strip())


def _compose(*arguments: str) -> str:
    return subprocess.run(
        ["docker", "compose", *arguments], capture_output=True, text=True, check=True
    ).stdout


def published(scheme: str) -> dict[str, str]:
    """Return the published address of every service that runs, as Compose tells it."""
    listed = _compose("ps", "--format", "json")
    addresses = {}
    for line in listed.splitlines():  # one object a line
        container = json.loads(line)
        for port in container.get("Publishers") or ():
            if port["PublishedPort"] and port["TargetPort"] == PORTS.get(container["Service"]):
                server = f"{port['URL']}:{port['PublishedPort']}"
                is_kafka = container["Service"] == "kafka"
                addresses[container["Service"]] = server if is_kafka else f"{scheme}://{server}"
    return addresses


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the links; never fails for want of data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, help="seconds for first data")
    options = parser.parse_args(arguments)
    visitor = admitted(os.environ)
    links = report(published(visitor.scheme), visitor, seconds=options.wait)
    if visitor.scheme == "https":
        told = f"{USER}, with what `docker compose exec grafana cat {PASSWORD}` tells"
        links.append(Link("User", told))
    width = max((len(link.name) for link in links), default=0)
    for link in links:
        print(f"  {link.name:{width}}  {link.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
