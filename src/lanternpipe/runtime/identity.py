"""Who we are on the port of metrics and probes, and whom we tell: certificate and password."""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from lanternpipe.ports import Log
from lanternpipe.runtime.http import credentials


class Certificate:
    """A certificate and its key, taken anew when their files have changed.

    Args:
        cert: PEM file of the certificate and what leads to its authority.
        key: PEM file of its key.
        log: Says what became of new files.

    Raises:
        OSError: They cannot be read, or do not fit together.
    """

    def __init__(self, cert: Path, key: Path, log: Log) -> None:
        self._files = cert, key
        self._log = log
        self._seen = self._look()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return what a new connection is encrypted with; the old one where new files are bad."""
        if (found := self._look()) != self._seen:
            self._seen = found
            try:
                self._context = self._load()
            except (OSError, ValueError) as error:
                reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
                files = ", ".join(map(str, self._files))
                text = f"PIPELINE_HTTP__CERT_FILE, __KEY_FILE: {files}: {reason}"
                self._log("warning", "rotation_waits", text=text)
            else:
                self._log("info", "rotated", what="certificate of the metrics port")
        return self._context

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(file) for file in self._files]

    def _load(self) -> ssl.SSLContext:
        # A new one: loading a bad pair into the one in use would spoil it.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._files, password=_no_passphrase)
        return context


class Login:
    """Knows by whom metrics may be seen.

    Args:
        username: Who; None: anybody.
        secret: Returns the password in force; raises ValueError while there is none.
    """

    def __init__(self, username: str | None, secret: Callable[[], str]) -> None:
        self._username = username
        self._secret = secret
        self._last = secret() if username else ""

    def permits(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request shows the user and the password."""
        if self._username is None:
            return True
        with suppress(ValueError):  # its file is being replaced
            self._last = self._secret()
        given = credentials(headers)
        expected = f"{self._username}:{self._last}".encode()
        return given is not None and hmac.compare_digest(given, expected)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")
