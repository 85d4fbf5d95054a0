"""The steps of docs/security.md, run as they stand there, but for addresses and files."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.test_docs import ROOT, environment
from tests.security.broker import SecuredBroker
from tests.security.pipelines import deployed

pytestmark = pytest.mark.kafka

SECONDS = 60.0
STEP = re.compile(r"^\*\*`([a-z-]+)`\*\*: (.*?)```sh\n(.*?)```", re.DOTALL | re.MULTILINE)
STEPS = {
    mode: (text, script)
    for mode, text, script in STEP.findall((ROOT / "docs/security.md").read_text())
}
# What stands for the clouds here, with what is said there besides.
INSTEAD = {"confluent-cloud": "plain", "msk-iam": "oauthbearer"}
DOORS = {"tls": "TLS", "mtls": "MTLS"}


@pytest.mark.parametrize("mode", STEPS)
def test_each_step_gets_in(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path, mode: str
) -> None:
    """`lanternpipe doctor` finds nothing wrong, and the clouds' steps say that others stood in."""
    text, script = STEPS[mode]
    here = INSTEAD.get(mode, mode)
    assert ("Not run against the cloud itself" in text) == (mode != here)
    password = tmp_path / "password"
    token = here == "oauthbearer"
    password.write_text(secured.issuer.secret if token else secured.password("processor"))
    door = secured.cluster.bootstrap_servers
    if here != "plaintext":
        door = secured.cluster.door(DOORS.get(here, "SASL"))
    for pattern, instead in (
        (r"(BOOTSTRAP_SERVERS)=\S+", rf"\1={door}"),
        (r"(MODE)=\S+", rf"\1={here}"),
        (r"=certs/", f"={secured.files.folder}/"),
        (r"=/run/secrets/kafka", f"={password}"),
        (r"(TOKEN_URL)=\S+", rf"\1={secured.issuer.url}/token"),
        (r"export \S*REGION=\S+\n", ""),
    ):
        script = re.sub(pattern, instead, script)
    given = secured.settings(here) if here in {"plain", "oauthbearer"} and mode != here else {}
    given.pop("KAFKA__BOOTSTRAP_SERVERS", None)
    if "PASSWORD_FILE" in script:
        given.pop("KAFKA__SECURITY__PASSWORD", None)
    if token:
        given["KAFKA__SECURITY__DEVELOPMENT"] = "true"  # the tests' issuer speaks HTTP
    with deployed(secured, unique("walk"), tmp_path) as pipeline:
        pipeline.grant_all()
        names = pipeline.deployment.environment(**given)
        names = {name: value for name, value in names.items() if "BOOTSTRAP" not in name}
        done = subprocess.run(
            ["bash", "-ec", script],
            env={**environment(), **names, "PATH": environment()["PATH"]},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    assert "✓ login" in done.stdout


def test_every_mode_has_its_step() -> None:
    """No mode is left out but `plain`, which is set as `scram` is."""
    assert [*STEPS] == [
        "plaintext",
        "tls",
        "mtls",
        "scram",
        "oauthbearer",
        "confluent-cloud",
        "msk-iam",
    ]
