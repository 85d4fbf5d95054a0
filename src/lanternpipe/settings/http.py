"""The settings of the port of metrics and probes."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator

from lanternpipe.settings.section import Section
from lanternpipe.settings.security import check_certificates, read_secret


class HttpSettings(Section):
    """The port that serves `/metrics`, `/livez` and `/readyz`."""

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` in containers.")
    port: int = Field(0, ge=0, le=65535, description="Port; 0 takes any free one and logs it.")
    cert_file: Path | None = Field(
        None,
        description="PEM file of a certificate: the port speaks TLS; read again when it changes.",
    )
    key_file: Path | None = Field(None, description="PEM file of its key, without a passphrase.")
    username: str | None = Field(
        None,
        description="Who may see `/metrics` (basic authentication); probes stay open to all, but "
        "tell their reasons to this user only.",
    )
    password: SecretStr | None = Field(None, description="The password of USERNAME.")
    password_file: Path | None = Field(
        None, description="A file that holds it instead; read again when it changes."
    )
    tls_elsewhere: bool = Field(
        default=False,
        description="Allows a password without CERT_FILE on an address that others reach, where "
        "something in front of us encrypts, as the proxy of a service mesh does.",
    )

    @field_validator(
        "cert_file", "key_file", "username", "password", "password_file", mode="before"
    )
    @classmethod
    def _empty_is_none(cls, given: object) -> object:
        return given or None

    @field_validator("username")
    @classmethod
    def _username(cls, given: str | None) -> str | None:
        if given and (":" in given or not given.isprintable()):
            raise ValueError("must have no colon, which ends a user's name in HTTP")
        return given

    @model_validator(mode="after")
    def _relations(self) -> HttpSettings:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("CERT_FILE and KEY_FILE go together: a certificate and its key")
        if self.password and self.password_file:
            raise ValueError("give PASSWORD or PASSWORD_FILE, not both")
        protected = bool(self.password or self.password_file)
        if self.username and not protected:
            raise ValueError("USERNAME needs PASSWORD or PASSWORD_FILE")
        if protected and not self.username:
            raise ValueError("PASSWORD and PASSWORD_FILE need USERNAME")
        if (
            protected
            and not self.cert_file
            and not self.tls_elsewhere
            and not is_loopback(self.host)
        ):
            raise ValueError(
                f"the password would go to HOST={self.host} over an open line: give CERT_FILE and "
                "KEY_FILE, or say TLS_ELSEWHERE=true where something in front of us encrypts"
            )
        return self

    @model_validator(mode="after")
    def _files_are_good(self) -> HttpSettings:
        self.secret()
        check_certificates(None, self.cert_file, self.key_file)
        return self

    def secret(self) -> str:
        """Return the password in force, read anew where it is in a file.

        Raises:
            ValueError: The file cannot be read or is empty.
        """
        if self.password_file:
            return read_secret(self.password_file, "PASSWORD_FILE")
        return self.password.get_secret_value() if self.password else ""

    def metrics_url(self, port: int) -> str:
        """Return where metrics are, for the port that was taken."""
        scheme = "https" if self.cert_file else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{port}/metrics"


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
