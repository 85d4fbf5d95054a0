"""The port that serves ``/metrics``, ``/livez`` and ``/readyz``."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lanternpipe.errors import ConfigError
from lanternpipe.runtime.health import Health

REQUEST_SECONDS = 10  # a client that is slower than this is let go
STOP_LATENCY_SECONDS = 0.1  # how often the server looks whether it is to end


@contextmanager
def serve(
    host: str, port: int, health: Health, render: Callable[[str], tuple[str, bytes]]
) -> Iterator[int]:
    """Serve within the block; yields the port, which matters when ``port`` is 0.

    Raises:
        ConfigError: The address cannot be listened on.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS

        def do_GET(self) -> None:  # the name that http.server calls
            path = self.path.split("?", 1)[0]
            if path == "/metrics":
                kind, body = render(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, kind, body)
            elif path in {"/livez", "/readyz"}:
                verdict = health.live() if path == "/livez" else health.ready()
                status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
                body = json.dumps(verdict._asdict()).encode()
                self._answer(status, "application/json", body)
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics /livez /readyz\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as above
            """Say nothing: probes and scrapes come every few seconds."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: a client that hangs up is its own affair."""

    try:
        server = Server((host, port), Handler)
    except OSError as error:
        raise ConfigError(
            f"PIPELINE_HTTP__PORT: cannot listen on {host}:{port} ({error.strerror}); choose "
            "another port, or 0 for any free one"
        ) from error
    thread = threading.Thread(
        target=server.serve_forever, args=(STOP_LATENCY_SECONDS,), name="http", daemon=True
    )
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
