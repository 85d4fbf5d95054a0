"""``lanternpipe health``: asks the processor of this container how it is.

Imports no settings and no client, so that a probe every few seconds costs next to nothing.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

from lanternpipe.errors import LanternpipeError

HOST, PORT = "PIPELINE_HTTP__HOST", "PIPELINE_HTTP__PORT"
LOOPBACK = "127.0.0.1"
# Where a server listens, and where we find it then.
ANYWHERE = {"": LOOPBACK, "0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104
CERT = "PIPELINE_HTTP__CERT_FILE"
USER, PASSWORD = "PIPELINE_HTTP__USERNAME", "PIPELINE_HTTP__PASSWORD"  # pragma: allowlist secret
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
    given = _environment()
    host, port = given.get(HOST, LOOPBACK), given.get(PORT, "0").strip()
    # Not a ConfigError: its code, 2, is one that container engines reserve in health checks.
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise LanternpipeError(f"{PORT}: must be a number from 1 to 65535 (given: {port!r})")
    if int(port) == 0:
        raise LanternpipeError(
            f"{PORT} is 0: the processor takes any free port, which nobody else knows; "
            f"set a port for both, as in {PORT}=9464"
        )
    return ANYWHERE.get(host, host), int(port)


class Access(NamedTuple):
    """How the processor is asked.

    Attributes:
        certificate: The file of the certificate that it must show; None: no TLS.
        login: User and password, as HTTP wants them; empty for none.
    """

    certificate: Path | None = None
    login: str = ""


OPEN = Access()


def access() -> Access:
    """Return how the processor is asked, as its settings say.

    Raises:
        LanternpipeError: The file of the password cannot be read.
    """
    given = _environment()
    certificate = Path(given[CERT]) if given.get(CERT) else None
    if not (user := given.get(USER)):
        return Access(certificate)
    if file := given.get(f"{PASSWORD}_FILE"):
        try:
            password = Path(file).read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise LanternpipeError(f"{PASSWORD}_FILE: cannot read {file} ({reason})") from None
    else:
        password = given.get(PASSWORD, "")
    return Access(certificate, base64.b64encode(f"{user}:{password}".encode()).decode())


def _environment() -> dict[str, str]:
    return {name.upper(): value for name, value in os.environ.items()}


def ask(host: str, port: int, path: str, timeout: float, access: Access = OPEN) -> Answer:
    """Ask ``path`` and return within ``timeout`` seconds what was answered."""
    try:
        received = _get(host, port, path, timeout, access)
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


def _get(host: str, port: int, path: str, timeout: float, access: Access) -> bytes:
    """Return all that is answered to a request.

    By hand, because ``http.client`` bounds each read and not the whole: a server that trickles
    would hold it for ever.
    """
    deadline = time.monotonic() + timeout
    received = b""
    login = f"Authorization: Basic {access.login}\r\n" if access.login else ""
    with _encrypted(socket.create_connection((host, port), timeout), access) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n{login}\r\n".encode())
        while len(received) < MOST_BYTES:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            if not (more := connection.recv(4_096)):
                break
            received += more
    return received


def _encrypted(connection: socket.socket, access: Access) -> socket.socket:
    """Encrypt a connection to who shows the very certificate that is in the file.

    Neither its name nor its authority is asked for: on loopback it has no name, and nobody else
    has its key.
    """
    if access.certificate is None:
        return connection
    import ssl  # noqa: PLC0415  # takes longer than an answer

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        text = access.certificate.read_text(encoding="ascii", errors="replace")
        first = f"{begin}{text.partition(begin)[2].partition(end)[0]}{end}"
        expected = ssl.PEM_cert_to_DER_cert(first)
        encrypted = context.wrap_socket(connection)
    except ValueError:
        connection.close()
        raise OSError(f"{access.certificate} ({CERT}) holds no certificate") from None
    except OSError:
        connection.close()
        raise
    if encrypted.getpeercert(binary_form=True) != expected:
        encrypted.close()
        raise OSError(f"shows another certificate than that of {CERT}")
    return encrypted
