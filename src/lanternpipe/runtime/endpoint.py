"""The port that serves ``/metrics``, ``/livez`` and ``/readyz``."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from lanternpipe.errors import ConfigError
from lanternpipe.ports import Log
from lanternpipe.runtime.connections import REQUEST_SECONDS, Connections
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.http import Answer, Request, as_bytes, parse, refusal
from lanternpipe.runtime.identity import Certificate, Login

BACKLOG = 1_024
MOST_RENDERINGS = 4  # that wait for the one at work: more are told to come back
STOP_SECONDS = 5.0
PATHS = ("/metrics", "/livez", "/readyz")
# Reasons name brokers, users and files: who may not see metrics gets none of them.
UNTOLD = "told to those who log in"

Render = Callable[[str], tuple[str, bytes]]


class Listening(Protocol):
    """Where to listen, and who may ask; the settings of the section HTTP."""

    @property
    def host(self) -> str:
        """The address."""

    @property
    def port(self) -> int:
        """The port; 0 for any free one."""

    @property
    def cert_file(self) -> Path | None:
        """The certificate; None: no TLS."""

    @property
    def key_file(self) -> Path | None:
        """Its key."""

    @property
    def username(self) -> str | None:
        """Who may see metrics; None: anybody."""

    def secret(self) -> str:
        """Return the password in force."""


@contextmanager
def serve(
    http: Listening, health: Health, render: Render, log: Log, *, seconds: float = REQUEST_SECONDS
) -> Iterator[int]:
    """Serve within the block; yields the port, which matters when the setting is 0.

    Args:
        http: Where to listen, and who may ask.
        health: Answers probes.
        render: Renders metrics for an ``Accept`` header, as content type and body.
        log: Says that certificates were replaced.
        seconds: How long a connection may last.

    Raises:
        ConfigError: The address cannot be listened on.
    """
    certificate = _certificate(http, log)
    listening = _listen(http.host, http.port)
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    login = Login(http.username, http.secret)

    async def run() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(lambda *_: None)  # what clients do wrong is their own affair
        site = _Site(health, render, login)
        tls = certificate.context if certificate else lambda: None
        site.connections = Connections(site.answer, tls, seconds=seconds)
        accepting = loop.create_task(site.connections.accept(listening))
        started.set_result((loop, over))
        await over.wait()
        accepting.cancel()
        site.renderer.shutdown(wait=False, cancel_futures=True)

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="http", daemon=True)
    thread.start()
    loop, over = started.result()
    try:
        yield listening.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(STOP_SECONDS)
        listening.close()


class _Site:
    """What is found under the three paths."""

    connections: Connections

    def __init__(self, health: Health, render: Render, login: Login) -> None:
        self._health = health
        self._render = render
        self._login = login
        self._renderings = 0
        # Beside the loop of the connections: probes do not wait for a scrape.
        self.renderer = ThreadPoolExecutor(1, "metrics")

    async def answer(self, head: bytes | None) -> bytes:
        """Return what is sent to who has sent this; None for a head that is too long."""
        asked = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if head is None else parse(head)
        if isinstance(asked, HTTPStatus):
            return as_bytes(refusal(asked))
        return as_bytes(await self._find(asked), head_only=asked.method == "HEAD")

    async def _find(self, asked: Request) -> Answer:
        if asked.path not in PATHS:
            return Answer(HTTPStatus.NOT_FOUND, "text/plain", f"{' '.join(PATHS)}\n".encode())
        if asked.method not in {"GET", "HEAD"}:
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "Allow: GET, HEAD")
        permitted = self._login.permits(asked.headers)
        if asked.path == "/metrics":
            if not permitted:
                challenge = 'WWW-Authenticate: Basic realm="metrics", charset="UTF-8"'
                return refusal(HTTPStatus.UNAUTHORIZED, challenge)
            return await self._metrics(asked.headers.get("accept", ""))
        verdict = self._health.live() if asked.path == "/livez" else self._health.ready()
        status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
        told = verdict if permitted else verdict._replace(reason=UNTOLD)
        return Answer(status, "application/json", json.dumps(told._asdict()).encode())

    async def _metrics(self, accept: str) -> Answer:
        if self._renderings >= MOST_RENDERINGS:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Retry-After: 1")
        self._renderings += 1
        try:
            with self.connections.kept():
                loop = asyncio.get_running_loop()
                kind, body = await loop.run_in_executor(self.renderer, self._render, accept)
        except Exception:  # noqa: BLE001  # whatever breaks there, the port goes on
            return refusal(HTTPStatus.INTERNAL_SERVER_ERROR)
        finally:
            self._renderings -= 1
        return Answer(HTTPStatus.OK, kind, body)


def _certificate(http: Listening, log: Log) -> Certificate | None:
    if http.cert_file is None or http.key_file is None:
        return None
    try:
        return Certificate(http.cert_file, http.key_file, log)
    except OSError as error:
        raise ConfigError(
            f"PIPELINE_HTTP__CERT_FILE, __KEY_FILE: {http.cert_file}, {http.key_file}: "
            f"{error.strerror}; give a certificate and its key in PEM form"
        ) from None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"PIPELINE_HTTP__PORT: cannot listen on {host}:{port} ({error.strerror}); choose "
            "another port, or 0 for any free one"
        ) from error
    listening.settimeout(0)  # never waits
    return listening
