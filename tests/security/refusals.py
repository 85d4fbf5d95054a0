"""Everything that a broker can have against us at the start, and what we say of it.

usage: python -m tests.security.refusals (writes the table in docs/security.md anew)
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from lanternpipe.certificates import Authority
from tests.security.broker import SecuredBroker, secured_broker
from tests.security.issuer import issuer
from tests.security.pipelines import RIGHTS, Pipeline, deployed

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- refusals -->", "<!-- end of refusals -->"
SECONDS = 30.0
WRONG = "wrong"
PROGRAM = [sys.executable, "-m", "lanternpipe", "process"]
RETRYING = {"RETRY__MODE": "topics", "RETRY__TIERS": "5s"}
MISSING = [right for right in RIGHTS if right != "read the replays"]

# What differs from run to run, and what stands for it.
CHANGES = (
    (re.compile(r"127\.0\.0\.1:\d+"), "broker:9093"),
    (re.compile(r"'127\.0\.0\.1'"), "'broker'"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:+]+"), "2026-01-31T08:00:00+00:00"),
    (re.compile(r"/\S+/(\w+\.crt)"), r"/certs/\1"),
    (re.compile(r"=\d{13}ms"), "=…ms"),
    (re.compile(r"refusals-\w+?(-in|-out|-p|\b)"), r"logins\1"),
)


class Outcome(NamedTuple):
    """How a processor ended.

    Attributes:
        code: Its exit code.
        seconds: How long it took.
        lines: What it said at the end, without its log.
    """

    code: int
    seconds: float
    lines: list[str]

    @property
    def line(self) -> str:
        """The one line that it should have said, without what differs from run to run."""
        found = " / ".join(self.lines)
        for pattern, instead in CHANGES:
            found = pattern.sub(instead, found)
        return found.removeprefix("lanternpipe: ")


def cases(broker: SecuredBroker, pipeline: Pipeline) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each case with the settings of its processor."""
    cluster, files, settings = broker.cluster, broker.files, broker.settings
    stranger = Authority.make("stranger", now=datetime.now(UTC), days=1)
    unknown = files.folder / "stranger.crt"
    unknown.write_bytes(stranger.pair.certificate)
    where = "KAFKA__BOOTSTRAP_SERVERS"
    plain = {where: cluster.bootstrap_servers}
    yield "wrong password (SCRAM)", settings("scram", PASSWORD=WRONG)
    yield "wrong password (PLAIN)", settings("plain", PASSWORD=WRONG)
    yield "unknown user", settings("scram", USERNAME="nobody")
    yield "wrong client secret", settings("oauthbearer", PASSWORD=WRONG)
    yield "expired token", settings("oauthbearer", TOKEN_URL=f"{broker.issuer.url}/expired")
    yield "mechanism not offered", settings("scram", MECHANISM="SCRAM-SHA-256")
    yield "unknown authority", settings("tls", CA_FILE=str(unknown))
    yield "expired broker certificate", {**settings("tls"), where: cluster.door("EXPIRED")}
    yield "wrong host name", {**settings("tls"), where: cluster.door("ELSEWHERE")}
    yield "no client certificate", {**settings("tls"), where: cluster.door("MTLS")}
    certificate, key = files.issue("foreigner", by=stranger)
    yield (
        "client certificate of another authority",
        settings("mtls", CERT_FILE=str(certificate), KEY_FILE=str(key)),
    )
    certificate, key = files.issue("late", ago=4)
    yield (
        "expired client certificate",
        settings("mtls", CERT_FILE=str(certificate), KEY_FILE=str(key)),
    )
    yield "TLS client on a plaintext port", {**settings("tls"), **plain}
    yield "plaintext client on a TLS port", {where: cluster.door("TLS")}
    yield "plaintext client on a SASL port", {where: cluster.door("BARE")}
    yield "SASL client on a port without", {**settings("scram"), where: cluster.door("TLS")}
    yield "client without SASL on a port with it", {**settings("tls"), where: cluster.door("SASL")}
    for number, right in enumerate(MISSING):
        user = f"without-{number}"
        broker.set_password(user, broker.password(user))
        pipeline.grant_all(user, but=right)
        yield f"may not {right}", settings("scram", user)
    deployment, user = pipeline.deployment, "without-retries"
    broker.set_password(user, broker.password(user))
    deployment.run("topics", "apply", **RETRYING)
    pipeline.grant_all(user)
    broker.grant(user, "READ", "TOPIC", f"{deployment.input}.retry.5s")
    yield "may not write the retries", {**settings("scram", user), **RETRYING}


def outcomes(broker: SecuredBroker, pipeline: Pipeline) -> dict[str, Outcome]:
    """Run all cases side by side, since each waits for a while before it gives up."""
    began, running = time.monotonic(), {}
    for name, settings in cases(broker, pipeline):
        environment = pipeline.deployment.environment(**{"INSTANCE": "p", **settings})
        running[name] = subprocess.Popen(
            PROGRAM, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    found = {}
    deadline = began + 2 * SECONDS
    for name, process in running.items():
        try:
            said, _ = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        lines = [line for line in said.splitlines() if not line.startswith("{")]
        found[name] = Outcome(process.returncode, time.monotonic() - began, lines)
    return found


def as_table(found: Mapping[str, str]) -> str:
    """Return the table for people."""
    rows = [f"| {name} | {line.replace('|', chr(92) + '|')} |" for name, line in found.items()]
    return "\n".join(["| what is wrong | what is said |", "| --- | --- |", *rows])


def main() -> None:
    """Run all cases and write the page anew."""
    with (
        tempfile.TemporaryDirectory() as folder,
        issuer() as tokens,
        secured_broker(Path(folder), tokens) as broker,
        deployed(broker, "refusals-0", Path(folder)) as pipeline,
    ):
        found = outcomes(broker, pipeline)
    for name, each in found.items():
        print(f"{each.code} {each.seconds:5.1f} s  {name}: {' / '.join(each.lines)}")
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = as_table({name: each.line for name, each in found.items()})
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    main()
