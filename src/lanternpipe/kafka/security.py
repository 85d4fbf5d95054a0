"""Who we are and whom we trust, in librdkafka's words: the same for every kind of client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from lanternpipe.errors import ConfigError
from lanternpipe.settings import SecuritySettings
from lanternpipe.settings.security import read_secret

Config: TypeAlias = dict[str, str | int | float | bool]
Token: TypeAlias = tuple[str, float]

VARIABLE = "PIPELINE_KAFKA__SECURITY__"

# Entries of ours in a configuration, which librdkafka does not know: what they lead to is looked
# up when a client is opened. So a new client has the newest, and a configuration shows no secret.
FROM_FILE = ".file"
AWS_REGION = "aws.region"


def security_config(security: SecuritySettings) -> Config:
    """Return what all clients need to get in. Pure."""
    if security.mode == "plaintext":
        return {}
    return {
        "security.protocol": security.protocol,
        **_encryption(security),
        **_identity(security),
    }


def _encryption(security: SecuritySettings) -> Config:
    config: Config = {}
    if security.ca_file:
        config["ssl.ca.location"] = str(security.ca_file)
    if security.cert_file and security.key_file:
        config["ssl.certificate.location"] = str(security.cert_file)
        config["ssl.key.location"] = str(security.key_file)
    if not security.verify_hostname:
        config["ssl.endpoint.identification.algorithm"] = "none"
    return config


def _identity(security: SecuritySettings) -> Config:
    if security.sasl_mechanism is None:
        return {}
    config: Config = {"sasl.mechanism": security.sasl_mechanism}
    if security.mode == "msk-iam":
        return {**config, AWS_REGION: security.region or ""}
    if security.mode != "oauthbearer":
        return {
            **config,
            "sasl.username": security.username or "",
            **_secret("sasl.password", security),
        }
    config |= {
        # The client asks for tokens by itself, also while nobody polls.
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": security.token_url or "",
        "sasl.oauthbearer.client.id": security.username or "",
        **_secret("sasl.oauthbearer.client.secret", security),
    }
    if security.scope:
        config["sasl.oauthbearer.scope"] = security.scope
    if security.ca_file:
        config["https.ca.location"] = str(security.ca_file)
    return config


def _secret(key: str, security: SecuritySettings) -> Config:
    if security.password_file:
        return {key + FROM_FILE: str(security.password_file)}
    return {key: security.secret()}


def resolved(
    config: Mapping[str, Any], tokens: Callable[[str], Token] | None = None
) -> dict[str, Any]:
    """Return what librdkafka is given: with secrets in place of the files that hold them.

    Args:
        config: As made by the functions in ``kafka.config``.
        tokens: Makes a token for an AWS region, and tells until when it is good in seconds since
            1970; by default with the credentials that AWS clients find.

    Raises:
        ConfigError: A file cannot be read, or what makes tokens is not installed.
    """
    found = dict(config)
    for name in [name for name in found if name.endswith(FROM_FILE)]:
        try:
            secret = read_secret(Path(found.pop(name)), "PASSWORD_FILE")
        except ValueError as error:
            raise ConfigError(f"{VARIABLE}{error}") from None
        found[name.removesuffix(FROM_FILE)] = secret
    if region := found.pop(AWS_REGION, None):
        make = tokens or aws_tokens()
        found["oauth_cb"] = lambda _: make(region)
    return found


def aws_tokens() -> Callable[[str], Token]:
    """Return what signs tokens with the credentials that AWS clients find.

    Raises:
        ConfigError: The package for it is not installed.
    """
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415  # an extra
    except ImportError:
        raise ConfigError(
            f"{VARIABLE}MODE=msk-iam needs a package of its own: pip install 'lanternpipe[msk-iam]'"
        ) from None

    def make(region: str) -> Token:
        token, until = MSKAuthTokenProvider.generate_auth_token(region)
        return token, until / 1_000

    return make
