"""What `make up` ends with: links to what has data, or a word on what is missing."""

from __future__ import annotations

import importlib.util
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.deploy.compose import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE = "5b8efff798038103d269b633813fc60c"
SEEN = {"data": {"result": [{"metric": {}, "value": [0, "1"]}]}}
NOT_SEEN: dict[str, Any] = {"data": {"result": []}}
FOUND = {"traces": [{"traceID": TRACE}]}
SEARCH = "/api/datasources/proxy/uid/tempo/api/search"

spec = importlib.util.spec_from_file_location("links", ROOT / "deploy/compose/links.py")
assert spec
assert spec.loader
links = importlib.util.module_from_spec(spec)
spec.loader.exec_module(links)


class Services(ThreadingHTTPServer):
    """Stands for Prometheus and Tempo: gives the answers to a path one after another."""

    daemon_threads = True

    def __init__(self, **answers: list[Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.answers = {"/api/v1/query": answers["query"], SEARCH: answers["search"]}
        self.asked: list[tuple[str, dict[str, list[str]]]] = []

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Services

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        self.server.asked.append((asked.path, parse_qs(asked.query)))
        answers = self.server.answers[asked.path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(200 if answer is not None else 503)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode() if answer is not None else b"starting")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(**answers: list[Any]) -> Iterator[Services]:
    """Run the services for the length of the block."""
    with Services(**answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def shown(server: Services, seconds: float = 20.0) -> dict[str, str]:
    """Return the links by name, with one server in the place of all that are asked."""
    addresses = {
        "grafana": server.address,
        "prometheus": server.address,
        "alertmanager": "http://127.0.0.1:27093",
        "kafka": "127.0.0.1:27092",
    }
    return dict(links.report(addresses, links.Visitor(), seconds=seconds, sleep=lambda _: None))


def test_links_wait_for_data() -> None:
    """They come once Prometheus has seen a processor and Tempo has a trace, not before."""
    with serving(query=[None, NOT_SEEN, SEEN], search=[None, {}, {"traces": []}, FOUND]) as server:
        found = shown(server)

    assert [path for path, _ in server.asked] == ["/api/v1/query"] * 3 + [SEARCH] * 4
    assert found["Overview"].startswith(f"{server.address}/d/lanternpipe-overview?from=")
    assert "no data" not in found["Overview"]
    assert found["Alert rules"] == f"{server.address}/alerts"
    assert found["Alertmanager"] == "http://127.0.0.1:27093/#/alerts"
    assert found["Kafka"] == "127.0.0.1:27092"


def test_trace_opens_in_explore() -> None:
    """The trace went through both programs, and its link is a query that Explore can read."""
    with serving(query=[SEEN], search=[FOUND]) as server:
        link = shown(server)["One trace"]

    ((_, asked),) = [each for each in server.asked if each[0] == SEARCH]
    assert "lanternpipe-producer" in asked["q"][0]
    assert "lanternpipe-processor" in asked["q"][0]
    address, _, query = link.partition("?")
    assert address == f"{server.address}/explore"
    (pane,) = json.loads(unquote(parse_qs(query)["panes"][0])).values()
    assert pane["datasource"] == "tempo"
    (traced,) = pane["queries"]
    assert traced["datasource"] == {"type": "tempo", "uid": "tempo"}
    assert (traced["queryType"], traced["query"]) == ("traceql", TRACE)


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_links_come_without_data(seconds: float) -> None:
    """Once the time is up, the links say what is missing."""
    with serving(query=[NOT_SEEN], search=[{}]) as server:
        found = shown(server, seconds)

    assert found["Overview"].endswith("(no data yet)")
    assert found["One trace"].startswith("none within")


def test_links_are_of_what_runs() -> None:
    """Without monitoring there is nothing to wait for."""
    assert links.report({"kafka": "127.0.0.1:27092"}, links.Visitor()) == [
        ("Kafka", "127.0.0.1:27092")
    ]


def test_silent_services_are_not_an_error() -> None:
    """A service that nobody reaches is one without data."""
    with serving(query=[SEEN], search=[FOUND]) as server:
        pass

    found = shown(server, 0.0)

    assert found["Overview"].endswith("(no data yet)")
    assert found["One trace"].startswith("none within")


def test_service_names_are_those_of_the_programs() -> None:
    """The search for a trace asks for names that our programs give themselves."""
    source = (ROOT / "src/lanternpipe/cli/run.py").read_text()

    for name in ("producer", "processor"):
        assert f'"lanternpipe-{name}"' in links.CROSSING
        assert f'opened("{name}"' in source
