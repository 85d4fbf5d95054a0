"""``lanternpipe health``: asks the processor of this container how it is.

Imports no settings and no client, so that a probe every few seconds costs next to nothing.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any, NamedTuple

from lanternpipe.errors import LanternpipeError

HOST, PORT = "PIPELINE_HTTP__HOST", "PIPELINE_HTTP__PORT"
LOOPBACK = "127.0.0.1"
ANYWHERE = frozenset({"", "0.0.0.0"})  # noqa: S104  # where a server listens, not we
MOST_BYTES = 64 * 1024


class Answer(NamedTuple):
    """What a probe found; ``reason`` is the processor's own where there is one."""

    ok: bool
    reason: str

    def as_json(self) -> dict[str, object]:
        """Return the answer for programs, as the port itself gives it."""
        return self._asdict()


def address() -> tuple[str, int]:
    """Return where the processor listens, as its settings say.

    Raises:
        LanternpipeError: The port is not a number that can be asked.
    """
    given = {name.upper(): value for name, value in os.environ.items()}
    host, port = given.get(HOST, LOOPBACK), given.get(PORT, "0").strip()
    # Not a ConfigError: its code, 2, is one that container engines reserve in health checks.
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise LanternpipeError(f"{PORT}: must be a number from 1 to 65535 (given: {port!r})")
    if int(port) == 0:
        raise LanternpipeError(
            f"{PORT} is 0: the processor takes any free port, which nobody else knows; "
            f"set a port for both, as in {PORT}=9464"
        )
    return LOOPBACK if host in ANYWHERE else host, int(port)


def ask(host: str, port: int, path: str, timeout: float) -> Answer:
    """Ask ``path`` and return within ``timeout`` seconds what was answered."""
    try:
        received = _get(host, port, path, timeout)
    except TimeoutError:
        return Answer(ok=False, reason=f"{host}:{port} has not answered for {timeout:g} s")
    except OSError as error:
        return Answer(ok=False, reason=f"{host}:{port}: {error.strerror or error}")
    head, _, body = received.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].decode("ascii", "replace")
    try:
        said: Any = json.loads(body)
        ok, reason = said["ok"], said["reason"]
    except (ValueError, KeyError, TypeError):
        return Answer(ok=False, reason=f"{host}:{port}{path} is not a processor's: {status!r}")
    return Answer(status.split()[1:2] == ["200"] and ok is True, str(reason))


def _get(host: str, port: int, path: str, timeout: float) -> bytes:
    """Return all that is answered to a request.

    By hand, because ``http.client`` bounds each read and not the whole: a server that trickles
    would hold it for ever.
    """
    deadline = time.monotonic() + timeout
    received = b""
    with socket.create_connection((host, port), timeout) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        while len(received) < MOST_BYTES:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            if not (more := connection.recv(4_096)):
                break
            received += more
    return received
