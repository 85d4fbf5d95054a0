"""Certificates of the drills: of the brokers' encrypted door, and of who comes by it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from lanternpipe.certificates import Authority

DOOR = "TLS"
DAYS = 365
USER = "processor"


class Identity:
    """An authority in a folder, and what it has issued.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._authority = Authority.make("drills", now=datetime.now(UTC), days=DAYS)
        (folder / "ca.crt").write_bytes(self._authority.pair.certificate)
        broker = self._authority.issue("kafka", ["127.0.0.1"], now=datetime.now(UTC), days=DAYS)
        (folder / "kafka.pem").write_bytes(broker.keystore)
        self.issue(days=DAYS)

    def issue(self, *, days: float) -> None:
        """Issue a new certificate for the clients."""
        issued = self._authority.issue(USER, now=datetime.now(UTC), days=days)
        issued.write(self._folder / "client.crt", self._folder / "client.key")

    def properties(self) -> dict[str, str]:
        """Return the settings of the brokers' encrypted door."""
        prefix = f"listener.name.{DOOR.lower()}.ssl."
        return {
            f"{prefix}keystore.type": "PEM",
            f"{prefix}keystore.location": str(self._folder / "kafka.pem"),
            f"{prefix}truststore.type": "PEM",
            f"{prefix}truststore.location": str(self._folder / "ca.crt"),
            f"{prefix}client.auth": "required",
            f"{prefix}principal.mapping.rules": "RULE:^CN=([^,]+)$/$1/,DEFAULT",
        }

    def settings(self, servers: str) -> dict[str, str]:
        """Return the settings of clients that come by it."""
        return {
            "KAFKA__BOOTSTRAP_SERVERS": servers,
            "KAFKA__SECURITY__MODE": "mtls",
            "KAFKA__SECURITY__CA_FILE": str(self._folder / "ca.crt"),
            "KAFKA__SECURITY__CERT_FILE": str(self._folder / "client.crt"),
            "KAFKA__SECURITY__KEY_FILE": str(self._folder / "client.key"),
        }
