"""Who we are for brokers, as settings and as the client is told."""

from __future__ import annotations

import io
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from lanternpipe.certificates import Authority
from lanternpipe.environment import load_settings
from lanternpipe.errors import ConfigError
from lanternpipe.kafka.config import consumer_config, producer_config
from lanternpipe.kafka.security import resolved, security_config
from lanternpipe.ops.config import as_json, as_table, in_force
from lanternpipe.settings import Settings

PLANTED = "hunter-two-of-us"  # pragma: allowlist secret
NOW = datetime.now(UTC)


@pytest.fixture(name="pem")
def _pem(tmp_path: Path) -> dict[str, str]:
    authority = Authority.make("tests", now=NOW, days=1)
    (tmp_path / "ca.crt").write_bytes(authority.pair.certificate)
    for name in ("us", "others"):
        authority.issue(name, now=NOW, days=1).write(
            tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        )
    (tmp_path / "secret").write_text(f"{PLANTED}\n")
    (tmp_path / "empty").write_text("\n")
    names = ("ca.crt", "us.crt", "us.key", "others.key", "secret", "empty", "missing")
    return {name: str(tmp_path / name) for name in names}


def load(monkeypatch: pytest.MonkeyPatch, pem: dict[str, str], **security: str) -> Settings:
    """Load settings in which ``@name`` stands for a file."""
    for name, value in security.items():
        given = pem[value[1:]] if value.startswith("@") else value
        monkeypatch.setenv(f"PIPELINE_KAFKA__SECURITY__{name}", given)
    return load_settings()


PAIR = {"CERT_FILE": "@us.crt", "KEY_FILE": "@us.key"}
USER = {"USERNAME": "us", "PASSWORD": PLANTED}
WRONG: list[tuple[dict[str, str], str]] = [
    ({"MODE": "tls", **USER}, "USERNAME does not go with MODE=tls"),
    ({"MODE": "plaintext", "CA_FILE": "@ca.crt"}, "CA_FILE does not go with MODE=plaintext"),
    ({"MODE": "mtls"}, "MODE=mtls needs CERT_FILE and KEY_FILE"),
    ({"MODE": "mtls", **PAIR, "PASSWORD": PLANTED}, "does not go with MODE=mtls"),
    ({"MODE": "scram", "USERNAME": "us"}, "MODE=scram needs PASSWORD or PASSWORD_FILE"),
    ({"MODE": "scram", **USER, "PASSWORD_FILE": "@secret"}, "not both"),
    ({"MODE": "scram", **USER, "CERT_FILE": "@us.crt"}, "CERT_FILE and KEY_FILE go together"),
    ({"MODE": "scram", **USER, "TLS": "false"}, "say DEVELOPMENT=true"),
    ({"MODE": "tls", "VERIFY_HOSTNAME": "false"}, "say DEVELOPMENT=true"),
    ({"MODE": "tls", "TLS": "false"}, "TLS=false does not go with MODE=tls"),
    ({"MODE": "oauthbearer", **USER}, "needs TOKEN_URL"),
    ({"MODE": "oauthbearer", **USER, "TOKEN_URL": "http://a/token"}, "must begin with https://"),
    ({"MODE": "oauthbearer", **USER, "TOKEN_URL": "here"}, "address of a token endpoint"),
    ({"MODE": "msk-iam"}, "MODE=msk-iam needs REGION"),
    ({"MODE": "confluent-cloud", **USER, "CA_FILE": "@ca.crt"}, "choose MODE=plain otherwise"),
    ({"MODE": "scram", "USERNAME": "us", "PASSWORD_FILE": "@missing"}, "PASSWORD_FILE: cannot"),
    ({"MODE": "scram", "USERNAME": "us", "PASSWORD_FILE": "@empty"}, "is empty"),
    ({"MODE": "tls", "CA_FILE": "@secret"}, "holds no certificate in PEM form"),
    ({"MODE": "tls", "CA_FILE": "@missing"}, "CA_FILE: cannot read"),
    ({"MODE": "mtls", "CERT_FILE": "@us.crt", "KEY_FILE": "@others.key"}, "the key is not that"),
    ({"MODE": "mtls", "CERT_FILE": "@secret", "KEY_FILE": "@us.key"}, "these are not"),
    ({"MODE": "ssl"}, "PIPELINE_KAFKA__SECURITY__MODE"),
]


@pytest.mark.parametrize(("given", "said"), WRONG, ids=[said for _, said in WRONG])
def test_contradictions_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, pem: dict[str, str], given: dict[str, str], said: str
) -> None:
    """The message names the setting, says what to do, and shows no secret, nor does its cause."""
    with pytest.raises(ConfigError) as caught:
        load(monkeypatch, pem, **given)
    assert said in str(caught.value)
    assert "PIPELINE_KAFKA__SECURITY" in str(caught.value)
    assert PLANTED not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SASL_PASSWORD", "x"),
        ("SSL_CA_LOCATION", "x"),
        ("SECURITY_PROTOCOL", "PLAINTEXT"),
        ("ENABLE_SSL_CERTIFICATE_VERIFICATION", "true"),
    ],
)
def test_extra_does_not_speak_beside_security(
    monkeypatch: pytest.MonkeyPatch, pem: dict[str, str], name: str, value: str
) -> None:
    """What SECURITY says goes for all clients; an EXTRA of one of them could undo it."""
    monkeypatch.setenv(f"PIPELINE_KAFKA__PRODUCER_EXTRA__{name}", value)
    with pytest.raises(ConfigError, match="cannot be set by EXTRA beside SECURITY__MODE=scram"):
        load(monkeypatch, pem, MODE="scram", **USER)


@pytest.mark.parametrize("word", ["false", "False", "f", "0", " 0"])
def test_extra_does_not_blind_us(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """Who wants no certificates verified has to say that it is for development."""
    name = "ENABLE_SSL_CERTIFICATE_VERIFICATION"
    monkeypatch.setenv(f"PIPELINE_KAFKA__EXTRA__{name}", word)
    monkeypatch.setenv(f"PIPELINE_KAFKA__PRODUCER_EXTRA__{name}", "true")  # hides nothing
    with pytest.raises(ConfigError, match="lets anybody pass for a broker"):
        load_settings()
    monkeypatch.setenv("PIPELINE_KAFKA__SECURITY__DEVELOPMENT", "true")
    load_settings()


CLIENT: list[tuple[dict[str, str], dict[str, str]]] = [
    ({}, {}),
    ({"MODE": "tls"}, {"security.protocol": "SSL"}),
    (
        {"MODE": "confluent-cloud", **USER},
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "us",
            "sasl.password": PLANTED,
        },
    ),
    (
        {"MODE": "scram", **USER, "MECHANISM": "SCRAM-SHA-256"},
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": "us",
            "sasl.password": PLANTED,
        },
    ),
    (
        {"MODE": "oauthbearer", **USER, "TOKEN_URL": "https://a/token", "SCOPE": "kafka"},
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": "https://a/token",
            "sasl.oauthbearer.client.id": "us",
            "sasl.oauthbearer.client.secret": PLANTED,
            "sasl.oauthbearer.scope": "kafka",
        },
    ),
]


@pytest.mark.parametrize(("given", "expected"), CLIENT, ids=lambda each: each.get("MODE", ""))
def test_what_the_client_is_told(
    monkeypatch: pytest.MonkeyPatch,
    pem: dict[str, str],
    given: dict[str, str],
    expected: dict[str, str],
) -> None:
    """Consumers and producers are told the same."""
    kafka = load(monkeypatch, pem, **given).kafka
    assert security_config(kafka.security) == expected
    for config in (consumer_config(kafka, instance=None), producer_config(kafka)):
        assert expected.items() <= config.items()


def test_a_secret_is_read_from_its_file_when_a_client_is_opened(
    monkeypatch: pytest.MonkeyPatch, pem: dict[str, str]
) -> None:
    """A configuration holds the name of the file alone; what is in it by then counts."""
    given = {"MODE": "scram", "USERNAME": "us", "PASSWORD_FILE": "@secret"}
    config = security_config(load(monkeypatch, pem, **given).kafka.security)
    assert PLANTED not in repr(config)
    newer = PLANTED[::-1]
    Path(pem["secret"]).write_text(f"{newer}\n")
    assert resolved(config)["sasl.password"] == newer
    Path(pem["secret"]).unlink()
    with pytest.raises(ConfigError, match="PIPELINE_KAFKA__SECURITY__PASSWORD_FILE: cannot read"):
        resolved(config)


def test_tokens_for_amazon(monkeypatch: pytest.MonkeyPatch, pem: dict[str, str]) -> None:
    """The client asks us, and we ask what signs tokens for the region."""
    security = load(monkeypatch, pem, MODE="msk-iam", REGION="eu-central-1").kafka.security
    config = resolved(security_config(security), lambda region: (f"token for {region}", 1.0))
    assert config.pop("oauth_cb")("") == ("token for eu-central-1", 1.0)
    assert config == {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}


def test_amazon_s_own_signer(monkeypatch: pytest.MonkeyPatch, pem: dict[str, str]) -> None:
    """With credentials in the environment it signs without asking anybody."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLANTED)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    security = load(monkeypatch, pem, MODE="msk-iam", REGION="eu-central-1").kafka.security
    token, until = resolved(security_config(security))["oauth_cb"]("")
    assert len(token) > 100
    assert 0 < until - datetime.now(UTC).timestamp() <= 901


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch, pem: dict[str, str]) -> None:
    """Neither by `config`, nor in a settings object that lands in a log."""
    settings = load(monkeypatch, pem, MODE="scram", **USER)
    found = in_force(settings, Settings(instance=""), {})
    text = io.StringIO()
    Console(file=text, width=500).print(*as_table(found, {}))
    told = text.getvalue() + repr(as_json(found)) + repr(settings) + settings.model_dump_json()
    assert PLANTED not in told
    assert "********" in text.getvalue()


def test_a_secret_s_file_is_shown(monkeypatch: pytest.MonkeyPatch, pem: dict[str, str]) -> None:
    """Where a password is looked for is what one wants to know."""
    given = {"MODE": "scram", "USERNAME": "us", "PASSWORD_FILE": "@secret"}
    found = in_force(load(monkeypatch, pem, **given), Settings(instance=""), {})
    shown = {each.name: str(each.value) for each in found}
    assert shown["PIPELINE_KAFKA__SECURITY__PASSWORD_FILE"] == pem["secret"]


@pytest.mark.parametrize("name", ["CA_FILE", "PASSWORD_FILE"])
def test_what_never_ends_is_not_read(
    monkeypatch: pytest.MonkeyPatch, pem: dict[str, str], tmp_path: Path, name: str
) -> None:
    """A pipe or a device in the place of a file is refused at once, and nobody waits for it."""
    os.mkfifo(tmp_path / "pipe")
    given = {"USERNAME": "me", name: str(tmp_path / "pipe")}
    if name == "CA_FILE":
        given["PASSWORD"] = "secret"  # pragma: allowlist secret
    with pytest.raises(ConfigError, match=f"{name}: .*pipe is no regular file"):
        load(monkeypatch, pem, MODE="scram", **given)
