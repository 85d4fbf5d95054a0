"""The settings of who we are for the brokers, and how we know that they are ours."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, SecretStr, field_validator, model_validator

from lanternpipe.settings.section import Section

Mode: TypeAlias = Literal[
    "plaintext", "tls", "mtls", "scram", "plain", "oauthbearer", "msk-iam", "confluent-cloud"
]

PASSWORD = "PASSWORD or PASSWORD_FILE"  # noqa: S105  # a name, not one  # pragma: allowlist secret

# What each mode needs, and what else it can use.
NEEDED: dict[Mode, tuple[str, ...]] = {
    "plaintext": (),
    "tls": (),
    "mtls": ("CERT_FILE", "KEY_FILE"),
    "scram": ("USERNAME", PASSWORD),
    "plain": ("USERNAME", PASSWORD),
    "oauthbearer": ("TOKEN_URL", "USERNAME", PASSWORD),
    "msk-iam": ("REGION",),
    "confluent-cloud": ("USERNAME", PASSWORD),
}
CERTIFICATE = ("CERT_FILE", "KEY_FILE")
USABLE: dict[Mode, tuple[str, ...]] = {
    "plaintext": (),
    "tls": ("CA_FILE",),
    "mtls": ("CA_FILE",),
    "scram": ("CA_FILE", *CERTIFICATE),
    "plain": ("CA_FILE", *CERTIFICATE),
    "oauthbearer": ("CA_FILE", *CERTIFICATE, "SCOPE"),
    "msk-iam": ("CA_FILE",),
    "confluent-cloud": (),
}
INSTEAD: dict[Mode, str] = {
    "plaintext": "neither encrypts nor asks who we are: choose another MODE",
    "tls": "encrypts and asks nobody's name: choose MODE=scram, plain, oauthbearer or mtls",
    "mtls": "knows us by our certificate alone: choose MODE=scram for a password as well",
    "msk-iam": "takes AWS credentials from where AWS clients look for them",
    "confluent-cloud": "has certificates that every system trusts: choose MODE=plain otherwise",
}


class SecuritySettings(Section):
    """How brokers and we know each other; for all Kafka clients alike."""

    mode: Mode = Field(
        "plaintext",
        description="`plaintext`: no protection. `tls`: encrypted. `mtls`: encrypted, and we are "
        "known by a certificate. `scram`, `plain`, `oauthbearer`: encrypted, and we are known by "
        "what the name says. `msk-iam`: an Amazon MSK with IAM. `confluent-cloud`: an API key.",
    )
    username: str | None = Field(
        None, description="User; for `oauthbearer` the client id, for `confluent-cloud` the key."
    )
    password: SecretStr | None = Field(
        None, description="Its password, the client secret or the secret of the API key."
    )
    password_file: Path | None = Field(
        None, description="A file that holds it instead; read again when it changes."
    )
    mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="Which kind of `scram`."
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities that vouch for brokers; by default the system's.",
    )
    cert_file: Path | None = Field(
        None, description="PEM file of our certificate and what leads to its authority."
    )
    key_file: Path | None = Field(None, description="PEM file of its key, without a passphrase.")
    token_url: str | None = Field(
        None, description="Where `oauthbearer` asks for tokens (client credentials)."
    )
    scope: str | None = Field(None, description="What it asks for there.")
    region: str | None = Field(None, description="AWS region of `msk-iam`, as `eu-central-1`.")
    tls: bool = Field(
        default=True,
        description="Whether to encrypt what has a password; `false` needs DEVELOPMENT.",
    )
    verify_hostname: bool = Field(
        default=True,
        description="Whether a broker's certificate must name its host; `false` needs DEVELOPMENT.",
    )
    development: bool = Field(
        default=False, description="Allows what must not be in production: the two above."
    )

    @field_validator(
        "username",
        "password",
        "password_file",
        "ca_file",
        "cert_file",
        "key_file",
        "token_url",
        "scope",
        "region",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, given: object) -> object:
        return given or None

    @field_validator("token_url")
    @classmethod
    def _token_url(cls, given: str | None) -> str | None:
        if given and not given.startswith(("https://", "http://")):
            raise ValueError("must be the address of a token endpoint, as https://host/oauth/token")
        return given

    @model_validator(mode="after")
    def _fits_the_mode(self) -> SecuritySettings:
        if self.password and self.password_file:
            raise ValueError("give PASSWORD or PASSWORD_FILE, not both")
        given = self.given()
        missing = [name for name in NEEDED[self.mode] if name not in given]
        if missing:
            raise ValueError(f"MODE={self.mode} needs {' and '.join(missing)}")
        allowed = {*NEEDED[self.mode], *USABLE[self.mode]}
        if unfit := [name for name in given if name not in allowed]:
            why = INSTEAD.get(self.mode, "does not use it")
            raise ValueError(f"{unfit[0]} does not go with MODE={self.mode}, which {why}")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("CERT_FILE and KEY_FILE go together: a certificate and its key")
        return self

    @model_validator(mode="after")
    def _is_safe(self) -> SecuritySettings:
        if not self.tls and self.mode not in {"scram", "plain", "oauthbearer"}:
            raise ValueError(f"TLS=false does not go with MODE={self.mode}")
        if not self.development:
            if not self.tls:
                raise ValueError(
                    "TLS=false sends what proves who we are over an open line; where that does not "
                    "matter, say DEVELOPMENT=true"
                )
            if not self.verify_hostname:
                raise ValueError(
                    "VERIFY_HOSTNAME=false lets anybody with any certificate of the authority "
                    "pass for a broker; where that does not matter, say DEVELOPMENT=true"
                )
        if (
            self.mode == "oauthbearer"
            and not self.development
            and not (self.token_url or "").startswith("https://")
        ):
            raise ValueError(
                "TOKEN_URL must begin with https://, or the client secret goes over an open line; "
                "where that does not matter, say DEVELOPMENT=true"
            )
        return self

    @model_validator(mode="after")
    def _files_are_good(self) -> SecuritySettings:
        if self.password_file:
            read_secret(self.password_file, "PASSWORD_FILE")
        check_certificates(self.ca_file, self.cert_file, self.key_file)
        return self

    def given(self) -> tuple[str, ...]:
        """Return the names of what is given of all that not every mode can use."""
        names = ("username", "ca_file", "cert_file", "key_file", "token_url", "scope", "region")
        found = [name.upper() for name in names if getattr(self, name) is not None]
        if self.password or self.password_file:
            found.append(PASSWORD)
        return tuple(found)

    @property
    def protocol(self) -> str:
        """Return Kafka's name for what is spoken with brokers."""
        if self.mode in {"plaintext", "tls", "mtls"}:
            return "PLAINTEXT" if self.mode == "plaintext" else "SSL"
        return "SASL_SSL" if self.tls else "SASL_PLAINTEXT"

    @property
    def sasl_mechanism(self) -> str | None:
        """Return Kafka's name for how we prove who we are; None where no SASL is spoken."""
        return {
            "scram": self.mechanism,
            "plain": "PLAIN",
            "confluent-cloud": "PLAIN",
            "oauthbearer": "OAUTHBEARER",
            "msk-iam": "OAUTHBEARER",
        }.get(self.mode)

    def secret(self) -> str:
        """Return the password in force, read anew where it is in a file.

        Raises:
            ValueError: The file cannot be read or is empty.
        """
        if self.password_file:
            return read_secret(self.password_file, "PASSWORD_FILE")
        return self.password.get_secret_value() if self.password else ""


def read_secret(file: Path, name: str) -> str:
    """Return what a file holds, without the end of its line.

    Raises:
        ValueError: It cannot be read, or is empty; ``name`` is in the message, the content never.
    """
    _check_that_it_ends(file, name)
    try:
        found = file.read_text(encoding="utf-8").strip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{name}: {file} is not text") from None
    except OSError as error:
        raise ValueError(f"{name}: cannot read {file} ({error.strerror})") from None
    if not found:
        raise ValueError(f"{name}: {file} is empty")
    return found


def check_certificates(ca: Path | None, cert: Path | None, key: Path | None) -> None:
    """Check that files are what they should be, and that a key fits its certificate.

    Raises:
        ValueError: One is not; the message names its setting.
    """
    for name, file in (("CA_FILE", ca), ("CERT_FILE", cert), ("KEY_FILE", key)):
        if file is None:
            continue
        _check_that_it_ends(file, name)
        try:
            file.read_bytes()
        except OSError as error:
            raise ValueError(f"{name}: cannot read {file} ({error.strerror})") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        try:
            context.load_verify_locations(ca)
        except OSError:  # what is wrong with TLS, too; and a file that has just gone
            raise ValueError(f"CA_FILE: {ca} holds no certificate in PEM form") from None
    if cert:
        try:
            context.load_cert_chain(cert, key, password=_no_passphrase)
        except OSError as error:
            what = (
                "the key is not that of the certificate"
                if "MISMATCH" in str(error)
                else "these are not a certificate and its key in PEM form"
            )
            raise ValueError(f"CERT_FILE, KEY_FILE: {cert}, {key}: {what}") from None


def _check_that_it_ends(file: Path, name: str) -> None:
    if file.exists() and not file.is_file() and not file.is_dir():
        raise ValueError(f"{name}: {file} is no regular file, which can be read again and again")


def _no_passphrase() -> str:
    raise ValueError("KEY_FILE: the key has a passphrase; give one without")
