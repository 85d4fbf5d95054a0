"""With TLS, logins and failures on: neither what lets us in nor what records hold is told."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.chaos.deployment import Deployment
from tests.chaos.reader import read
from tests.chaos.waiting import until
from tests.security.broker import SecuredBroker
from tests.security.pipelines import Pipeline, deployed
from tests.security.test_rights_later import readiness
from tests.stack.test_planted_secrets import APP, SECRETS, found_in, headers_of_ours, sent

pytestmark = pytest.mark.kafka

SECONDS = 60.0
PASSWORD, WRONG = "planted-password-7d1c", "planted-wrong-7d1c"  # pragma: allowlist secret
HTTP, TOKEN = "planted-http-7d1c", "planted-token-7d1c"
WORDS = (PASSWORD, WRONG, HTTP, TOKEN)
COMMANDS = {
    "config": ("config",),
    "doctor": ("doctor",),
    "doctor --json": ("doctor", "--json"),
    "lag": ("lag", "--json"),
    "topics diff": ("topics", "diff", "--acls"),
    "dlq stats": ("dlq", "stats"),
    "dlq peek": ("dlq", "peek"),
    "produce": ("produce", "--count", "1"),
}


def leaks(told: Mapping[str, str], key: Path) -> list[tuple[str, str]]:
    """Return where a secret shows, a part of a private key, or personal data."""
    parts = [line for line in key.read_text().splitlines() if not line.startswith("-----")]
    return [
        (where, secret)
        for where, text in told.items()
        for secret in (*(each for each in (*WORDS, *parts) if each in text), *found_in(text))
    ]


@pytest.fixture(name="user")
def _user(secured: SecuredBroker, unique: Callable[[str], str]) -> str:
    """Return a user whose password is to be looked for."""
    user = unique("planted")
    secured.set_password(user, PASSWORD)
    secured.files.issue(user)
    return user


@pytest.fixture(name="pipeline")
def _pipeline(
    secured: SecuredBroker,
    unique: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: str,
) -> Iterator[Pipeline]:
    """A pipeline whose transform tells secrets, on the secured broker."""
    (tmp_path / "telltale.py").write_text(APP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer {TOKEN}")
    with deployed(secured, unique("leaks"), tmp_path) as pipeline:
        pipeline.grant_all(user)
        yield pipeline


def settings(secured: SecuredBroker, user: str, **security: str) -> dict[str, str]:
    """Return settings that let programs tell all that they can."""
    certificate, key = secured.files.pair(user)
    return {
        **secured.settings("scram", user, PASSWORD=PASSWORD, **security),
        "KAFKA__SECURITY__CERT_FILE": str(certificate),
        "KAFKA__SECURITY__KEY_FILE": str(key),
        "APP": "telltale:pipeline",
        "TELEMETRY__SIGNALS": "metrics,logs,traces",
        "LOG__LEVEL": "debug",
        "KAFKA__EXTRA__DEBUG": "all",
        "HTTP__USERNAME": "prometheus",
        "HTTP__PASSWORD": HTTP,
        "BATCH_RECORDS": "5",
    }


def run(deployment: Deployment, arguments: tuple[str, ...], told: Mapping[str, str]) -> str:
    """Run a command to its end, well or not, and return all that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "lanternpipe", *arguments],
        env=deployment.environment(**told),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout + done.stderr


def run_all(
    deployment: Deployment, commands: Mapping[str, tuple[str, ...]], told: Mapping[str, str]
) -> dict[str, str]:
    """Run commands side by side, and return what each prints."""
    with ThreadPoolExecutor(len(commands)) as pool:
        printed = pool.map(lambda arguments: run(deployment, arguments, told), commands.values())
        return dict(zip(commands, printed, strict=True))


def scraped_with_login(url: str) -> str:
    """Return the metrics of a processor that asks who we are."""
    login = base64.b64encode(f"prometheus:{HTTP}".encode()).decode()
    request = Request(url, headers={"Authorization": f"Basic {login}"})
    with urlopen(request, timeout=SECONDS) as answer:
        return str(answer.read().decode())


def command_lines() -> str:
    """Return the arguments of all processes of ours, as anybody on the machine sees them."""
    return "\n".join(
        file.read_text(errors="replace")
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if file.exists() and b"lanternpipe" in file.read_bytes()
    )


def test_nothing_is_told_while_things_fail(
    secured: SecuredBroker, pipeline: Pipeline, user: str, tmp_path: Path
) -> None:
    """Bad records, lost rights, a changed password and hopeless commands tell no secret."""
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    given = settings(secured, user, PASSWORD_FILE=str(file))
    del given["KAFKA__SECURITY__PASSWORD"]
    deployment, told = pipeline.deployment, dict[str, str]()
    processor = pipeline.processor(given).start_and_join()
    told["arguments"] = command_lines()
    kinds = sent(deployment)
    until(lambda: len(read(deployment, deployment.dead_letters)) == len(kinds), SECONDS, "letters")
    pipeline.revoke("write the output", user)
    sent(deployment)
    processor.until(lambda: bool(processor.events("access_refused")), SECONDS, "being refused")
    told["readiness"] = readiness(processor)
    pipeline.grant("write the output", user)
    secured.set_password(user, f"{PASSWORD}-2")
    file.write_text(f"{PASSWORD}-2")
    until(deployment.drained, SECONDS, "all committed")
    told["metrics"] = scraped_with_login(processor.metrics)
    assert processor.stop() == 0, processor.tail()
    told["process"] = processor.text()
    letters = read(deployment, deployment.dead_letters)
    told["headers of dead letters"] = headers_of_ours(letters)
    given["KAFKA__SECURITY__PASSWORD_FILE"] = str(file)
    commands = {**COMMANDS, "journey": ("journey", f"{deployment.input}/0/0")}
    told |= run_all(deployment, commands, given)

    assert leaks(told, secured.files.pair(user)[1]) == []
    assert len(letters) == 2 * len(kinds)
    assert "LoginError" in told["process"]
    assert '"rotated"' in told["process"]
    assert "kafka_client_log" in told["process"]


def test_nothing_is_told_by_who_is_not_let_in(
    secured: SecuredBroker, pipeline: Pipeline, user: str
) -> None:
    """A wrong password is not told by the line that says that it is wrong."""
    given = {**settings(secured, user), "KAFKA__SECURITY__PASSWORD": WRONG}
    told = run_all(pipeline.deployment, {**COMMANDS, "process": ("process",)}, given)
    assert leaks(told, secured.files.pair(user)[1]) == []
    assert [name for name, text in told.items() if "PASSWORD" not in text] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"KAFKA__SECURITY__MODE": "mtls"},  # and a password
        {"KAFKA__SECURITY__PASSWORD": f"{PASSWORD}\n"},
        {"KAFKA__SECURITY__CA_FILE": "/nowhere"},
        {"HTTP__HOST": "0.0.0.0"},  # a password over an open line
        {"KAFKA__EXTRA__SASL_PASSWORD": PASSWORD},
        {"KAFKA__EXTRA__SSL_KEY_PASSWORD": PASSWORD},
        {"KAFKA__SECURITY__PASWORD": PASSWORD},  # a name that is none
    ],
    ids="-".join,
)
def test_wrong_settings_do_not_tell_the_secrets_beside_them(
    secured: SecuredBroker, pipeline: Pipeline, user: str, wrong: dict[str, str]
) -> None:
    """The line that refuses settings names variables, and of secrets no more than that."""
    given = {**settings(secured, user), **wrong}
    told = run_all(pipeline.deployment, {"config": ("config",), "doctor": ("doctor",)}, given)
    assert leaks(told, secured.files.pair(user)[1]) == []


def test_the_looking_finds(secured: SecuredBroker, user: str) -> None:
    """What is looked for would be found: a word, personal data, and a line of the key."""
    key = secured.files.pair(user)[1]
    told = {"here": f"… {TOKEN} …", "there": str(SECRETS[0]), "key": key.read_text()}
    assert {where for where, _ in leaks(told, key)} == {*told}
