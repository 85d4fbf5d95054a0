"""A small issuer of tokens, as a company's own is: client credentials in, signed tokens out."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "kafka"
KEY_ID = "one"
CLIENT = "processor"


class Issuer:
    """Hands out tokens while it serves.

    Attributes:
        url: Where it listens.
        secret: Of the one client that it knows.
        life: Seconds for which tokens are good, but for those of the path ``/expired``.
        issued: How many it has handed out.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.secret = "client-secret-1"  # pragma: allowlist secret
        self.life = 300.0
        self.issued = 0
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def keys(self) -> dict[str, Any]:
        """Return what tokens are verified with, as a JSON Web Key Set."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": KEY_ID,
            "n": _encoded(numbers.n.to_bytes(256, "big")),
            "e": _encoded(numbers.e.to_bytes(3, "big")),
        }
        return {"keys": [key]}

    def token(self, client: str, life: float) -> dict[str, Any]:
        """Return a token for a client, as OpenID Connect's token endpoint answers.

        Args:
            client: Who asks.
            life: Seconds for which it is good; negative for one that has expired.
        """
        now = int(time.time())
        claims = {
            "sub": client,
            "aud": AUDIENCE,
            "iss": self.url,
            "iat": now - 3_600,
            "exp": int(now + life),
        }
        header = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        self.issued += 1
        return {
            "access_token": f"{text}.{_encoded(signature)}",
            "token_type": "Bearer",
            "expires_in": max(1, int(life)),
        }


@contextmanager
def issuer() -> Iterator[Issuer]:
    """Serve within the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, found.keys())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            client, _, secret = base64.b64decode(given).decode().partition(":")
            if secret != found.secret:
                self._answer(401, {"error": "invalid_client"})
            else:
                self._answer(
                    200, found.token(client, -100 if "expired" in self.path else found.life)
                )

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield found
        server.shutdown()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
