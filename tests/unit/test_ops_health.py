"""`lanternpipe health`: asks the processor's port, quickly, and never for long."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lanternpipe.certificates import Authority
from lanternpipe.cli import main
from lanternpipe.environment import load_settings
from lanternpipe.errors import LanternpipeError
from lanternpipe.ops.health import HOST, LOOPBACK, PORT, Access, address, ask
from lanternpipe.runtime.endpoint import serve
from lanternpipe.runtime.health import Health
from lanternpipe.settings import HttpSettings
from lanternpipe.testing.doubles import LogBook

PLANTED = "hunter-two-of-us"  # pragma: allowlist secret
PLAIN = HttpSettings()


@contextmanager
def processor(*, joined: bool, http: HttpSettings = PLAIN) -> Iterator[int]:
    """Serve the port of a processor within the block; yields the port."""
    health = Health(stuck_after=60, log=LogBook())
    if joined:
        health.joined()
    with serve(http, health, lambda _: ("text/plain", b""), LogBook()) as port:
        yield port


@contextmanager
def server(answer: bytes, *, trickle: bool = False) -> Iterator[int]:
    """Serve one connection within the block: an answer, or one byte now and then for ever."""
    over = threading.Event()
    with socket.create_server((LOOPBACK, 0)) as listening:

        def run() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):  # who asked may have gone
                connection.recv(1_024)
                connection.sendall(answer)
                while trickle and not over.wait(0.05):
                    connection.sendall(b"x")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join(10)


@pytest.mark.parametrize(
    ("joined", "arguments", "code", "reason"),
    [
        (True, [], 0, "has an assignment"),
        (False, [], 1, "has not joined the group yet"),
        (False, ["--live"], 0, "the loop moves"),
    ],
)
def test_the_processor_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    joined: bool,
    arguments: list[str],
    code: int,
    reason: str,
) -> None:
    """The processor's own reason is printed as JSON, and the code is 0 only when all is well."""
    with processor(joined=joined) as port:
        monkeypatch.setenv(PORT, str(port))
        assert main(["health", *arguments]) == code
    assert json.loads(capsys.readouterr().out) == {"ok": not code, "reason": reason}


@pytest.fixture(name="pair")
def _pair(tmp_path: Path) -> tuple[Path, Path]:
    now = datetime.now(UTC)
    cert, key = tmp_path / "us.crt", tmp_path / "us.key"
    Authority.make("tests", now=now, days=1).issue("us", now=now, days=1).write(cert, key)
    return cert, key


@pytest.mark.parametrize("from_file", [True, False])
@pytest.mark.parametrize("tls", [True, False])
def test_it_logs_in_and_encrypts(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pair: tuple[Path, Path],
    from_file: bool,
    tls: bool,
) -> None:
    """With the processor's own settings it gets the reason, which others do not."""
    secret = pair[0].with_name("secret")
    secret.write_text(f"{PLANTED}\n")
    given = {"USERNAME": "us"}
    given |= {"PASSWORD_FILE": str(secret)} if from_file else {"PASSWORD": PLANTED}
    given |= {"CERT_FILE": str(pair[0]), "KEY_FILE": str(pair[1])} if tls else {}
    for name, value in given.items():
        monkeypatch.setenv(f"PIPELINE_HTTP__{name}", value)
    with processor(joined=True, http=load_settings().http) as port:
        monkeypatch.setenv(PORT, str(port))
        assert main(["health"]) == 0
        assert json.loads(capsys.readouterr().out)["reason"] == "has an assignment"
        monkeypatch.delenv("PIPELINE_HTTP__USERNAME")
        assert main(["health"]) == 0
        assert json.loads(capsys.readouterr().out)["reason"] == "told to those who log in"


def test_somebody_with_another_certificate_listens(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Whoever does not show the certificate of the settings is not asked, and not believed."""
    now = datetime.now(UTC)
    other = tmp_path / "other.crt"
    Authority.make("tests", now=now, days=1).issue("us", now=now, days=1).write(
        other, tmp_path / "other.key"
    )
    http = HttpSettings(cert_file=pair[0], key_file=pair[1])
    with processor(joined=True, http=http) as port:
        assert ask(LOOPBACK, port, "/readyz", 10, Access(pair[0])).ok
        found = ask(LOOPBACK, port, "/readyz", 10, Access(other))
    assert not found.ok
    assert "another certificate than that of PIPELINE_HTTP__CERT_FILE" in found.reason


def test_nobody_listens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody listens, the command says so as JSON and ends with code 1."""
    with socket.create_server((LOOPBACK, 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv(PORT, str(port))
    assert main(["health"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found == {"ok": False, "reason": f"127.0.0.1:{port}: Connection refused"}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.0 404 Not Found\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\n[]",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
)
def test_somebody_else_listens(answer: bytes) -> None:
    """An answer that is no processor's is not well, and its first line is told."""
    with server(answer) as port:
        found = ask(LOOPBACK, port, "/readyz", 10)
    assert not found.ok
    status = answer.partition(b"\r\n")[0].decode()
    assert found.reason == f"127.0.0.1:{port}/readyz is not a processor's: {status!r}"


@pytest.mark.parametrize(("status", "ok"), [("503 Unavailable", "true"), ("200 OK", "false")])
def test_a_status_that_contradicts_is_not_well(status: str, ok: str) -> None:
    """A processor that is well by its status or by its word alone is not believed."""
    answer = f'HTTP/1.0 {status}\r\n\r\n{{"ok": {ok}, "reason": "r"}}'
    with server(answer.encode()) as port:
        assert ask(LOOPBACK, port, "/readyz", 10) == (False, "r")


@pytest.mark.parametrize("trickle", [True, False])
def test_an_answer_that_does_not_end_is_not_waited_for(trickle: bool) -> None:
    """Neither silence nor an answer byte by byte holds the command beyond its time-out."""
    with socket.create_server((LOOPBACK, 0)) as silent, server(b"H", trickle=True) as trickling:
        port = trickling if trickle else silent.getsockname()[1]
        began = time.monotonic()
        found = ask(LOOPBACK, port, "/readyz", 0.3)
        took = time.monotonic() - began
        if not trickle:  # its server waits for somebody
            socket.create_connection((LOOPBACK, trickling)).close()
    assert found == (False, f"127.0.0.1:{port} has not answered for 0.3 s")
    assert took < 10


@pytest.mark.parametrize("port", [None, "0", "x", "-1", "65536", "²"])
def test_a_port_that_cannot_be_asked_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str | None
) -> None:
    """Any free port, the default, and what is no port are refused in one line that names it."""
    if port is not None:
        monkeypatch.setenv(PORT, port)
    assert main(["health"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lanternpipe: {PORT}")
    with pytest.raises(LanternpipeError):
        address()


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        (None, LOOPBACK),
        ("0.0.0.0", LOOPBACK),
        ("", LOOPBACK),
        ("::", "::1"),
        ("10.1.2.3", "10.1.2.3"),
    ],
)
def test_address(monkeypatch: pytest.MonkeyPatch, host: str | None, asked: str) -> None:
    """A processor that listens everywhere is asked on loopback, any other where it listens."""
    monkeypatch.setenv(PORT.lower(), " 9464")
    if host is not None:
        monkeypatch.setenv(HOST, host)
    assert address() == (asked, 9464)


def test_defaults_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command and the processor agree on the address, though it reads no settings."""
    monkeypatch.setenv(PORT, "9464")
    http = load_settings().http
    assert (http.host, http.port) == address()


def test_nothing_slow_is_imported() -> None:
    """Neither Kafka's client nor the settings are imported, which take longer than the answer."""
    program = (
        "import sys\n"
        "from lanternpipe.cli import main\n"
        "main(['health'])\n"
        "print(*{'confluent_kafka', 'pydantic', 'msgspec', 'rich', 'structlog'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "\n"
