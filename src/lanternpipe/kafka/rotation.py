"""Notices when passwords and certificates have been replaced by newer ones, while we run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from lanternpipe.certificates import ends_of
from lanternpipe.ports import Log
from lanternpipe.settings import SecuritySettings
from lanternpipe.settings.security import check_certificates

LOOK_SECONDS = 1.0


class LoggedIn(Protocol):
    """Something that holds Kafka clients."""

    def log_in_with(self, username: str, password: str) -> None:
        """Use this from the next login on; connections that are up stay as they are."""


class Rotation:
    """Looks at the files of the security settings.

    A new password goes to the clients as they are. New certificates, and a new secret for tokens,
    need new clients.

    Attributes:
        version: Changes whenever clients have to be replaced.

    Args:
        security: Names the files.
        clients: Get the new password.
        replace: Called when clients have to be replaced that may be so at any time.
        log: Writes log lines.
    """

    def __init__(
        self,
        security: SecuritySettings,
        clients: Iterable[LoggedIn],
        *,
        replace: Callable[[], None] = lambda: None,
        log: Log,
    ) -> None:
        self._security = security
        self._clients = list(clients)
        self._replace = replace
        self._log = log
        self._password = _read([security.password_file])
        self._certificates = self._read_certificates()
        self._expiries = _expiries(security)
        self._complaint = ""
        self.version = 0

    def look(self) -> None:
        """Look once; what is half written, or does not fit together, is left alone for now."""
        try:
            self._look_at_password()
            self._look_at_certificates()
        except ValueError as error:
            self.complain(str(error))
        else:
            self._complaint = ""

    def complain(self, text: str) -> None:
        """Say once what is in the way."""
        if text != self._complaint:
            self._log("warning", "rotation_waits", text=text)
            self._complaint = text

    def expiries(self) -> dict[str, float]:
        """Return when the certificates in force end, in seconds since 1970, by whose they are."""
        return self._expiries

    def _look_at_password(self) -> None:
        found = _read([self._security.password_file])
        if found == self._password:
            return
        secret = self._security.secret()
        self._password = found
        if self._security.mode == "oauthbearer":
            self._outdate()  # they ask for tokens with the secret that they were made with
        else:
            for client in self._clients:
                with suppress(RuntimeError):  # it has just been closed
                    client.log_in_with(self._security.username or "", secret)
        self._log("info", "rotated", what="password")

    def _look_at_certificates(self) -> None:
        found = self._read_certificates()
        if found == self._certificates:
            return
        security = self._security
        check_certificates(security.ca_file, security.cert_file, security.key_file)
        self._certificates = found
        self._expiries = _expiries(security)
        self._outdate()
        self._log("info", "rotated", what="certificates")

    def _outdate(self) -> None:
        self.version += 1
        self._replace()

    def _read_certificates(self) -> tuple[bytes, ...]:
        security = self._security
        return _read([security.ca_file, security.cert_file, security.key_file])


def _expiries(security: SecuritySettings) -> dict[str, float]:
    # Of many authorities an old one may end: what counts is the last that can vouch for brokers.
    ends = {"authority": (security.ca_file, max), "client": (security.cert_file, min)}
    found = {}
    for name, (file, choose) in ends.items():
        if file:
            # Bundles of a system hold oddities that TLS does not mind; and a file may just be gone.
            with suppress(ValueError, OSError):
                found[name] = choose(ends_of(file.read_bytes()))
    return found


def _read(files: Iterable[Path | None]) -> tuple[bytes, ...]:
    """Return what tells the contents of files from others; one that is away has none."""
    return tuple(_digest(file) for file in files if file)


def _digest(file: Path) -> bytes:
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except OSError:
        return b""
