"""The port of metrics and probes, and clients that mean it no good."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lanternpipe.certificates import Authority
from lanternpipe.runtime.connections import MOST_CONNECTIONS
from lanternpipe.runtime.endpoint import MOST_RENDERINGS, serve
from lanternpipe.runtime.health import Health
from lanternpipe.settings import HttpSettings
from lanternpipe.testing.doubles import LogBook

HOST = "127.0.0.1"
PLANTED = "hunter-two-of-us"  # pragma: allowlist secret
PROBE_SECONDS = 3.0  # within which a probe is answered whatever happens; mostly milliseconds
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: us\r\n\r\n"
METRICS = "GET /metrics HTTP/1.1\r\nHost: us\r\n"


class Attacked:
    """An endpoint on some port, and what it has logged."""

    def __init__(self, http: HttpSettings, log: LogBook, port: int) -> None:
        self.http, self.log, self.port = http, log, port

    def connect(self, seconds: float = PROBE_SECONDS) -> socket.socket:
        """Return a connection, encrypted where the port is."""
        client = socket.create_connection((HOST, self.port), seconds)
        if not self.http.cert_file:
            return client
        return trusting(self.http.cert_file).wrap_socket(client)

    def ask(self, request: bytes, seconds: float = PROBE_SECONDS) -> bytes:
        """Send something and return all that comes back."""
        with self.connect(seconds) as client:
            client.sendall(request)
            return received(client)

    def assert_lives(self) -> None:
        """Fail unless a probe is answered in time."""
        assert status(self.ask(LIVEZ)) == 200


def trusting(cert: Path) -> ssl.SSLContext:
    """Return a client's context that knows one certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cert)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def received(client: socket.socket) -> bytes:
    """Return what comes until the end, or until the connection is cut."""
    found = b""
    with suppress(ConnectionError, ssl.SSLError):
        while more := client.recv(65_536):
            found += more
    return found


def status(answer: bytes) -> int:
    """Return the status of an answer; 0 where there is none."""
    return int(answer.split()[1]) if answer else 0


@contextmanager
def attacked(http: HttpSettings, seconds: float = 10.0) -> Iterator[Attacked]:
    """Serve within the block."""
    log = LogBook()
    health = Health(stuck_after=600, log=log)
    with serve(http, health, lambda _: ("text/plain", b"up 1\n"), log, seconds=seconds) as port:
        yield Attacked(http, log, port)
    assert not [line for line in log.lines if line[1] not in {"rotated", "rotation_waits"}]


@pytest.fixture(name="pair")
def _pair(tmp_path: Path) -> tuple[Path, Path]:
    cert, key = tmp_path / "us.crt", tmp_path / "us.key"
    make(cert, key)
    return cert, key


def make(cert: Path, key: Path) -> None:
    """Write a new certificate and its key."""
    now = datetime.now(UTC)
    Authority.make("tests", now=now, days=1).issue("us", now=now, days=1).write(cert, key)


@pytest.fixture(name="plain")
def _plain() -> Iterator[Attacked]:
    with attacked(HttpSettings()) as site:
        yield site


@pytest.fixture(name="tls")
def _tls(pair: tuple[Path, Path]) -> Iterator[Attacked]:
    with attacked(HttpSettings(cert_file=pair[0], key_file=pair[1])) as site:
        yield site


@pytest.fixture(name="site", params=["plain", "tls"])
def _site(request: pytest.FixtureRequest) -> Attacked:
    found: Attacked = request.getfixturevalue(request.param)
    return found


REQUESTS = [
    (b"HEAD /metrics HTTP/1.1\r\nHost: us\r\n\r\n", 200),
    (b"GET http://us/livez?x HTTP/1.1\r\nHost: us\r\n\r\n", 200),
    (b"GET /livez HTTP/1.0\r\n\r\n", 200),
    (b"GET /readyz HTTP/1.0\r\n\r\n", 503),
    (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
    (b"BREW /livez HTTP/1.1\r\n\r\n", 405),
    (b"GET /../metrics HTTP/1.1\r\n\r\n", 404),
    (b"GET /%0d%0aX-Mine:%20yes HTTP/1.1\r\n\r\n", 404),
    (b"OPTIONS * HTTP/1.1\r\n\r\n", 404),
    (b"GET /livez\r\n\r\n", 400),
    (b"GET /livez HTTP/1.1\r\nX: a\rX-Mine: b\r\n\r\n", 400),
    (b"GET /livez HTTP/1.1\r\nX: a\nX-Mine: b\r\n\r\n", 400),
    (b"GET /livez HTTP/1.1\r\nX: a\r\n folded\r\n\r\n", 400),
    (b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n", 400),
    (b"GET /livez HTTP/1.1\r\nX: \x00\r\n\r\n", 400),
    (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 400),
    (b"GET http://[ HTTP/1.1\r\n\r\n", 400),
    (b"\x00\xff\x16\x03\r\n\r\n", 400),
    (b"GET /livez HTTP/2.0\r\n\r\n", 505),
    (b"GET /" + b"a" * 4_000 + b" HTTP/1.1\r\n\r\n", 414),
    (b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
    (b"GET /livez HTTP/1.1\r\nX: " + b"y" * 900_000 + b"\r\n\r\n", 431),
]


@pytest.mark.parametrize(("request_", "expected"), REQUESTS, ids=lambda x: str(x)[:40])
def test_each_request_has_its_status(plain: Attacked, request_: bytes, expected: int) -> None:
    """Whatever is sent gets one answer, with nothing in it of what was sent."""
    answer = plain.ask(request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(answer) == expected
    assert b"X-Mine" not in answer
    assert b"Traceback" not in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert bool(body) != request_.startswith(b"HEAD")
    assert b"\r\nConnection: close" in head


def test_one_connection_is_one_request(plain: Attacked) -> None:
    """Who sends a second request on a connection gets no second answer."""
    assert plain.ask(LIVEZ * 2).count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("half", [b"", b"GET", b"GET /livez HTTP/1.1\r\nHost:"])
def test_half_a_request_is_no_harm(site: Attacked, half: bytes) -> None:
    """Who hangs up in the middle disturbs nobody."""
    with site.connect() as client:
        client.sendall(half)
    site.assert_lives()


def test_garbage_on_the_port_of_tls(tls: Attacked) -> None:
    """Neither plain HTTP nor garbage gets anything from a port that speaks TLS."""
    for garbage in (LIVEZ, os.urandom(5_000), b"\x16\x03\x01\xff\xff" + bytes(100)):
        with socket.create_connection((HOST, tls.port), PROBE_SECONDS) as client:
            client.sendall(garbage)
            assert b"HTTP/1.1 " not in received(client)
    tls.assert_lives()


def test_tls_on_a_port_without(plain: Attacked) -> None:
    """A client that begins a handshake where none is spoken is told by its end."""
    with (
        socket.create_connection((HOST, plain.port), PROBE_SECONDS) as client,
        pytest.raises((ssl.SSLError, TimeoutError)),
    ):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(client, server_hostname="us")
    plain.assert_lives()


def test_thousands_that_say_nothing(site: Attacked) -> None:
    """While 2,000 connections are held open probes are answered, and few of them are kept."""
    with ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection((HOST, site.port), PROBE_SECONDS))
            for _ in range(2_000)
        ]
        for _ in range(5):
            site.assert_lives()
        assert len(list(Path("/proc/self/fd").iterdir())) < len(held) + 300
        assert received(held[0]) == b""  # the oldest was let go


@pytest.mark.parametrize("tls", [False, True])
def test_a_slow_client_is_let_go(pair: tuple[Path, Path], tls: bool) -> None:
    """Who sends a byte now and then is let go when the time for all is over."""
    http = HttpSettings(cert_file=pair[0], key_file=pair[1]) if tls else HttpSettings()
    with attacked(http, seconds=0.5) as site, site.connect() as client:
        began = time.monotonic()
        client.settimeout(0.05)
        while time.monotonic() - began < PROBE_SECONDS:
            try:
                client.sendall(b"G")
                if not client.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 0.3 < time.monotonic() - began < PROBE_SECONDS


def test_a_handshake_that_does_not_come_is_not_waited_for(pair: tuple[Path, Path]) -> None:
    """The time for all includes the handshake."""
    http = HttpSettings(cert_file=pair[0], key_file=pair[1])
    with (
        attacked(http, seconds=0.3) as site,
        socket.create_connection((HOST, site.port), PROBE_SECONDS) as client,
    ):
        site.assert_lives()
        assert received(client) == b""


def login(user: str, password: str) -> str:
    """Return the header of basic authentication."""
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}\r\n"


LOGINS = [
    (login("us", PLANTED), 200),
    (login("us", PLANTED).replace("Basic", "basic"), 200),
    ("", 401),
    (login("us", "wrong"), 401),
    (login("us", ""), 401),
    (login("them", PLANTED), 401),
    (login("", ""), 401),
    ("Authorization: Basic !!!\r\n", 401),
    ("Authorization: Basic\r\n", 401),
    (f"Authorization: Bearer {PLANTED}\r\n", 401),
]


@pytest.mark.parametrize(("header", "expected"), LOGINS)
def test_metrics_are_for_who_logs_in(tmp_path: Path, header: str, expected: int) -> None:
    """Metrics need user and password; probes do not, but tell reasons to this user only."""
    file = tmp_path / "secret"
    file.write_text(f"{PLANTED}\n")
    with attacked(HttpSettings(username="us", password_file=file)) as site:
        metrics = site.ask(f"{METRICS}{header}\r\n".encode())
        probe = site.ask(f"GET /readyz HTTP/1.1\r\nHost: us\r\n{header}\r\n".encode())
    assert status(metrics) == expected
    assert (b"WWW-Authenticate: Basic" in metrics) == (expected == 401)
    assert (b"up 1" in metrics) == (expected == 200)
    told = json.loads(probe.partition(b"\r\n\r\n")[2])
    assert status(probe) == 503
    assert told["reason"].startswith("has not joined" if expected == 200 else "told to those")
    assert PLANTED.encode() not in metrics + probe


def test_a_new_password_counts_at_once(tmp_path: Path) -> None:
    """The file is read anew; while it is away the last one counts."""
    file = tmp_path / "secret"
    file.write_text("first")
    with attacked(HttpSettings(username="us", password_file=file)) as site:

        def enters(password: str) -> bool:
            return status(site.ask(f"{METRICS}{login('us', password)}\r\n".encode())) == 200

        assert enters("first")
        file.unlink()
        assert enters("first")
        file.write_text("second")
        assert enters("second")
        assert not enters("first")


def test_new_certificates_count_at_once(tls: Attacked, pair: tuple[Path, Path]) -> None:
    """A new pair is shown to the next client; a broken one is told of once, and the old stays."""
    tls.assert_lives()
    make(*pair)
    tls.assert_lives()  # this client trusts the new one only
    assert [line[1] for line in tls.log.lines] == ["rotated"]
    before = pair[0].read_bytes()
    good = trusting(pair[0])
    pair[0].write_text("half of")
    for _ in range(3):
        with socket.create_connection((HOST, tls.port), PROBE_SECONDS) as client:
            good.wrap_socket(client).close()
    assert [line[1] for line in tls.log.lines] == ["rotated", "rotation_waits"]
    pair[0].write_bytes(before)
    tls.assert_lives()


def test_scrapes_that_take_long() -> None:
    """A scrape at work is not let go for newcomers, probes do not wait for it, few others do."""
    begun, go_on = threading.Event(), threading.Event()

    def render(_: str) -> tuple[str, bytes]:
        begun.set()
        assert go_on.wait(PROBE_SECONDS)
        return "text/plain", b"up 1\n"

    http = HttpSettings()
    health = Health(stuck_after=600, log=LogBook())
    with serve(http, health, render, LogBook()) as port, ExitStack() as stack:
        site = Attacked(http, LogBook(), port)
        scrape = stack.enter_context(site.connect())
        scrape.sendall(f"{METRICS}\r\n".encode())
        assert begun.wait(PROBE_SECONDS)
        for _ in range(MOST_CONNECTIONS + 10):
            stack.enter_context(site.connect())
        site.assert_lives()
        waiting = [stack.enter_context(site.connect()) for _ in range(MOST_RENDERINGS - 1)]
        for each in waiting:
            each.sendall(f"{METRICS}\r\n".encode())
        site.assert_lives()  # they were read before
        assert status(site.ask(f"{METRICS}\r\n".encode())) == 503
        go_on.set()
        assert [status(received(each)) for each in (scrape, *waiting)] == [200] * MOST_RENDERINGS


def test_who_is_refused_may_finish_speaking(plain: Attacked) -> None:
    """A client that still sends is not cut off, which could cost it the answer."""
    with plain.connect() as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nX: " + b"y" * 20_000)
        first = client.recv(1)
        for _ in range(5):
            client.sendall(b"y" * 20_000)
        assert status(first + received(client)) == 431
