"""Stands for Tempo and Loki: takes OTLP as JSON, and can be ill in the ways that they are."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.stack.collector import plain_attributes, plain_value
from tests.stack.server import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACES, LOGS = "/v1/traces", "/otlp/v1/logs"


class Backend(ThreadingHTTPServer):
    """What has been received.

    Attributes:
        ill: Nothing, or ``refuses`` (answers 503) or ``hangs`` (never answers).
        asked: How many requests have come.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Answer)
        self.ill, self.asked = "", 0
        self.ended = threading.Event()
        self._received: dict[str, list[Any]] = {TRACES: [], LOGS: []}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.server_port}"

    def take(self, path: str, request: Any) -> None:
        """Keep an export request."""
        self._received[path].append(request)

    def spans(self) -> list[dict[str, Any]]:
        """Return all spans, with plain attributes."""
        return _flat(self._received[TRACES], "resourceSpans", "scopeSpans", "spans")

    def lines(self) -> list[dict[str, Any]]:
        """Return all log records, with plain attributes and a plain body."""
        found = _flat(self._received[LOGS], "resourceLogs", "scopeLogs", "logRecords")
        return [{**each, "body": plain_value(each.get("body", {}))} for each in found]


class _Answer(BaseHTTPRequestHandler):
    server: Backend

    def do_POST(self) -> None:
        backend = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        backend.asked += 1
        if backend.ill == "hangs":
            backend.ended.wait()
            return
        status = HTTPStatus.SERVICE_UNAVAILABLE if backend.ill else HTTPStatus.OK
        if not backend.ill:
            backend.take(self.path, json.loads(body))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing."""


@contextmanager
def backend() -> Iterator[Backend]:
    """Run one for the length of the block."""
    with Backend() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


def _flat(requests: list[Any], resources: str, scopes: str, name: str) -> list[dict[str, Any]]:
    return [
        {
            **record,
            "attributes": plain_attributes(record.get("attributes", [])),
            "resource": plain_attributes(resource["resource"].get("attributes", [])),
        }
        for request in requests
        for resource in request[resources]
        for scope in resource[scopes]
        for record in scope[name]
    ]
