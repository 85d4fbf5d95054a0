"""A small HTTP service that sends an event through ``EventProducer`` and answers when it is safe.

    PIPELINE_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:9092 .venv/bin/python examples/login_service.py
    curl 127.0.0.1:8088/login -d '{"user_id": "u1", "app_version": "2.3.0", "ip": "203.0.113.7",
        "locale": "NV", "device_id": "d1", "timestamp": 1729741922, "device_type": "iOS"}'

It answers 202 with the place of the record once Kafka has it on all replicas, 400 for what is no
login, and 503 when Kafka does not answer in time. One producer serves all threads.
"""

import json
import os
import signal
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

import msgspec

from lanternpipe import DeliveryError, EventProducer
from logins.events import UserLogin
from logins.pipeline import pipeline

ANSWER_WITHIN = 5.0  # seconds
MAX_BODY = 64 * 1024


class LoginServer(ThreadingHTTPServer):
    """Serves logins until it is shut down."""

    def __init__(self, port: int, producer: EventProducer[UserLogin]) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.producer = producer


class Handler(BaseHTTPRequestHandler):
    """Handles one connection."""

    server: LoginServer

    def do_POST(self) -> None:
        """Take a login, and answer when Kafka has it."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/login" or not 0 < length <= MAX_BODY:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "POST a login to /login"})
            return
        try:
            login = msgspec.json.decode(self.rfile.read(length), type=UserLogin)
        except msgspec.DecodeError as error:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
            return
        try:
            place = self.server.producer.send_and_wait(login, timeout=ANSWER_WITHIN)
        except DeliveryError as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)})
        else:
            self._answer(HTTPStatus.ACCEPTED, place._asdict())

    def _answer(self, status: HTTPStatus, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Say nothing: bodies are personal data, and access logs belong to the proxy."""


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, then deliver what is still waiting."""
    producer = EventProducer(pipeline.input)
    server = LoginServer(int(os.environ.get("PORT", "8088")), producer)

    def stop(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()  # it must not run in this thread

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"POST logins to http://127.0.0.1:{server.server_address[1]}/login", flush=True)
    server.serve_forever()
    print("stopping", flush=True)
    if undelivered := producer.close(ANSWER_WITHIN):
        # Whoever sent them was told so: they had no answer 202.
        sys.exit(f"{undelivered} logins were not acknowledged by Kafka")


if __name__ == "__main__":
    main()
