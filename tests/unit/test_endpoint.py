"""The port that serves metrics and probes, over a real socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from lanternpipe.errors import ConfigError
from lanternpipe.runtime.endpoint import serve
from lanternpipe.runtime.health import Health
from lanternpipe.settings import HttpSettings
from lanternpipe.testing.doubles import Clock, LogBook

HOST = "127.0.0.1"


class Bench:
    """An endpoint that is being served."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.health = Health(stuck_after=10.0, log=LogBook(), clock=self.clock)
        self.accepts: list[str] = []
        self.port = 0

    def render(self, accept: str) -> tuple[str, bytes]:
        """Render metrics, or break."""
        self.accepts.append(accept)
        if accept == "break":
            raise RuntimeError
        return "text/metrics", b"up 1\n"

    def get(self, path: str, accept: str = "") -> tuple[int, str | None, bytes]:
        """Return status, content type and body."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type"), answer.read()
        finally:
            connection.close()


@pytest.fixture(name="bench", scope="module")
def _bench() -> Iterator[Bench]:
    bench = Bench()
    with serve(HttpSettings(), bench.health, bench.render, LogBook()) as bench.port:
        yield bench


def test_metrics(bench: Bench) -> None:
    """Metrics are rendered as the scraper accepts them."""
    assert bench.get("/metrics?x=1", accept="text/plain") == (200, "text/metrics", b"up 1\n")
    assert bench.accepts[-1] == "text/plain"


def test_livez(bench: Bench) -> None:
    """Liveness is 200 while the loop moves and 503 when it does not, with the reason."""
    status, kind, body = bench.get("/livez")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == {"ok": True, "reason": "the loop moves"}
    bench.clock.now = 60.0
    status, _, body = bench.get("/livez")
    bench.clock.now = 0.0
    assert (status, json.loads(body)["ok"]) == (503, False)


def test_readyz(bench: Bench) -> None:
    """Readiness is 503 until an assignment has come, and 200 then."""
    assert bench.get("/readyz")[0] == 503
    bench.health.joined()
    assert bench.get("/readyz")[0] == 200
    assert bench.get("/livez")[0] == 200


def test_anything_else_is_not_found_but_told_what_is(bench: Bench) -> None:
    """Another path is answered with 404 and the paths that exist."""
    assert bench.get("/") == (404, "text/plain", b"/metrics /livez /readyz\n")


@pytest.mark.parametrize("garbage", [b"", b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9\r\n"])
def test_garbage_does_not_kill_it(bench: Bench, garbage: bytes) -> None:
    """A client that speaks no HTTP, or hangs up, disturbs nobody."""
    with socket.create_connection((HOST, bench.port), timeout=10) as client:
        client.sendall(garbage)
    assert bench.get("/livez")[0] == 200


def test_a_silent_client_does_not_hold_up_others(bench: Bench) -> None:
    """While one client says nothing, others are served."""
    with socket.create_connection((HOST, bench.port), timeout=10):
        assert bench.get("/livez")[0] == 200


def test_a_rendering_that_breaks_does_not_kill_it(bench: Bench) -> None:
    """When rendering fails that client is told so without a reason, and the next one gets all."""
    status, _, body = bench.get("/metrics", accept="break")
    assert (status, body) == (500, b"Internal Server Error\n")
    assert bench.get("/metrics")[0] == 200


def test_it_ends_with_the_block() -> None:
    """Behind the block nobody listens."""
    bench = Bench()
    with serve(HttpSettings(), bench.health, bench.render, LogBook()) as port:
        assert port > 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=10)


def test_a_port_in_use_names_the_variable(bench: Bench) -> None:
    """Where the port is taken, one line names the variable and what to do."""
    with (
        pytest.raises(ConfigError, match=rf"PIPELINE_HTTP__PORT: .*{HOST}:{bench.port} .*or 0"),
        serve(HttpSettings(port=bench.port), bench.health, bench.render, LogBook()),
    ):
        pass
