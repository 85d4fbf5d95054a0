"""New passwords, certificates and tokens, taken over while records flow."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lanternpipe import EventProducer
from lanternpipe.testing.doubles import LogBook
from logins.pipeline import pipeline as logins
from tests.chaos.processor import Processor
from tests.chaos.reader import read
from tests.chaos.waiting import until
from tests.chaos.workload import Sender, workload
from tests.integration.deployed import drain, verify
from tests.security.broker import LOGIN_SECONDS, SecuredBroker
from tests.security.pipelines import Pipeline, deployed

pytestmark = pytest.mark.kafka
RECORDS = 20_000
RATE = 1_000.0
SOON = 60.0


def flows(pipeline: Pipeline, processor: Processor, records: int) -> None:
    """Wait until so many more records have been committed."""
    deployment = pipeline.deployment
    before = sum(deployment.committed().values())
    processor.until(
        lambda: sum(deployment.committed().values()) >= before + records, SOON, "more commits"
    )


def ends_of_certificates(processor: Processor) -> dict[str, float]:
    """Return when the certificates end, as metrics tell it, by whose they are."""
    with urllib.request.urlopen(processor.metrics, timeout=5) as answer:
        shown = answer.read().decode()
    pattern = r'^pipeline_certificate_expiry_timestamp_seconds{certificate="(\w+)"} (\S+)$'
    return {whose: float(end) for whose, end in re.findall(pattern, shown, re.MULTILINE)}


def finish(pipeline: Pipeline, processor: Processor, sender: Sender) -> None:
    """See that everything has come through once, without a word of trouble."""
    sender.finish()
    drain(pipeline.deployment)
    verify(pipeline.deployment, sender)
    assert not processor.events("access_refused"), processor.tail()
    assert processor.stop() == 0, processor.tail()


def test_a_new_password(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """Connections log in with the new password when they have to, and no work is disturbed."""
    user, file = unique("user"), tmp_path / "password"
    secured.set_password(user, "first")
    file.write_text("first")
    settings = secured.settings("scram", user, PASSWORD="", PASSWORD_FILE=str(file))
    with deployed(secured, unique("password"), tmp_path) as pipeline:
        pipeline.grant_all(user)
        processor = pipeline.processor(settings).start_and_join()
        with Sender(pipeline.deployment, [*workload(1, RECORDS)], RATE) as sender:
            flows(pipeline, processor, 500)
            secured.set_password(user, "second")
            file.write_text("second")
            processor.until(lambda: bool(processor.events("rotated")), SOON, "the new password")
            # Every connection has to log in again within this time.
            flows(pipeline, processor, int(RATE * 2 * LOGIN_SECONDS))
            assert not processor.events("partitions_lost", "partitions_revoked")
            finish(pipeline, processor, sender)


def test_new_certificates(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """All work is committed and new clients take over; what does not fit together has to wait."""
    name = unique("client")
    _, key = secured.files.issue(name)
    settings = secured.settings("mtls", name)
    with deployed(secured, unique("certificates"), tmp_path) as pipeline:
        pipeline.grant_all(name)
        processor = pipeline.processor(settings).start_and_join()
        with Sender(pipeline.deployment, [*workload(1, RECORDS)], RATE) as sender:
            flows(pipeline, processor, 500)
            new = secured.files.issue(unique("other"))
            key.write_bytes(new[1].read_bytes())  # half of a change
            processor.until(lambda: bool(processor.events("rotation_waits")), SOON, "a word of it")
            assert not processor.events("clients_replaced")
            before = ends_of_certificates(processor)
            assert before.keys() == {"authority", "client"}
            secured.files.issue(name)
            processor.until(lambda: bool(processor.events("clients_replaced")), SOON, "new clients")
            after = ends_of_certificates(processor)
            assert after["authority"] == before["authority"]
            assert after["client"] > before["client"]
            flows(pipeline, processor, 500)
            finish(pipeline, processor, sender)


def test_new_tokens(secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path) -> None:
    """Tokens that live for seconds are renewed again and again, and a new secret is taken over."""
    issuer, file = secured.issuer, tmp_path / "secret"
    file.write_text(issuer.secret)
    user = unique("client")
    settings = secured.settings("oauthbearer", user, PASSWORD="", PASSWORD_FILE=str(file))
    life, issuer.life = issuer.life, 5.0
    try:
        with deployed(secured, unique("tokens"), tmp_path) as pipeline:
            pipeline.grant_all(user)
            processor = pipeline.processor(settings).start_and_join()
            with Sender(pipeline.deployment, [*workload(1, RECORDS)], RATE) as sender:
                before = issuer.issued
                processor.until(lambda: issuer.issued > before + 4, SOON, "new tokens")
                issuer.secret = "client-secret-2"  # pragma: allowlist secret
                file.write_text(issuer.secret)
                processor.until(
                    lambda: bool(processor.events("clients_replaced")), SOON, "new clients"
                )
                flows(pipeline, processor, 500)
                finish(pipeline, processor, sender)
    finally:
        issuer.life = life


@pytest.mark.parametrize("mode", ["mtls", "scram"])
def test_a_producer_goes_on(
    secured: SecuredBroker,
    unique: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    """An EventProducer in somebody's service takes over what is new, and every record arrives."""
    user, file = unique("user"), tmp_path / "password"
    secured.files.issue(user)
    secured.set_password(user, "first")
    file.write_text("first")
    given = {} if mode == "mtls" else {"PASSWORD": "", "PASSWORD_FILE": str(file)}
    for name, value in secured.settings(mode, user, **given).items():
        monkeypatch.setenv(f"PIPELINE_{name}", value)
    with deployed(secured, unique("sending"), tmp_path) as found:
        topic = found.deployment.input
        secured.grant(user, "WRITE", "TOPIC", topic)
        log = LogBook()
        with EventProducer(replace(logins.input, name=topic), log=log) as producer:
            ends = time.monotonic() + 3 * LOGIN_SECONDS
            changed = False
            while time.monotonic() < ends or not changed:
                assert time.monotonic() < ends + SOON
                producer.send_raw(b"{}", f"key-{producer.sent % 10}")
                time.sleep(0.002)  # the pace of the records
                if producer.acknowledged > 100 and not changed:
                    secured.files.issue(user)
                    secured.set_password(user, "second")
                    file.write_text("second")
                    until(lambda: bool(log.named("rotated")), SOON, "the change is seen")
                    changed = True
        assert producer.acknowledged == producer.sent > 500
        assert len(read(found.deployment, topic)) == producer.sent
