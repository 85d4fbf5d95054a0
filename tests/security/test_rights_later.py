"""Rights that are taken away while records flow, and given back."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lanternpipe.certificates import Authority
from tests.chaos.processor import Processor
from tests.chaos.waiting import until
from tests.chaos.workload import Sender, workload
from tests.integration.deployed import drain, verify
from tests.security.broker import LOGIN_SECONDS, SecuredBroker
from tests.security.pipelines import RIGHTS, deployed

pytestmark = pytest.mark.kafka
RECORDS = 20_000
RATE = 400.0
NOTICED = 60.0
BACK = 90.0


def readiness(processor: Processor) -> str:
    """Return why a processor is not ready; nothing where it is."""
    url = processor.metrics.replace("/metrics", "/readyz")
    try:
        with urllib.request.urlopen(url, timeout=5):
            return ""
    except urllib.error.HTTPError as answer:
        return answer.read().decode()


def refused(processor: Processor) -> bool:
    """Say whether a processor tells by probe, metric and log that it is refused."""
    with urllib.request.urlopen(processor.metrics, timeout=5) as answer:
        shown = answer.read().decode()
    gauges = [line for line in shown.splitlines() if line.startswith("pipeline_access_refused{")]
    return (
        "refused" in readiness(processor)
        and [line.rpartition(" ")[2] for line in gauges] == ["1.0"]
        and bool(processor.events("access_refused"))
    )


@pytest.mark.parametrize("right", [right for right in RIGHTS if "replays" not in right])
def test_a_right_is_taken_away_and_given_back(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path, right: str
) -> None:
    """The processor says so, is not ready, tries on, and loses and repeats nothing."""
    with deployed(secured, unique("later"), tmp_path) as pipeline:
        pipeline.grant_all()
        processor = pipeline.processor(secured.settings("scram")).start_and_join()
        records = [*workload(1, RECORDS, poison=0.05)]
        with Sender(pipeline.deployment, records, RATE) as sender:
            processor.until(
                lambda: sum(pipeline.deployment.committed().values()) > 0, NOTICED, "a commit"
            )
            pipeline.revoke(right)
            processor.until(lambda: refused(processor), NOTICED, "being refused")
            pipeline.grant(right)
            sender.finish()
        drain(pipeline.deployment, BACK)
        processor.until(lambda: not readiness(processor), BACK, "being ready again")
        assert len(processor.events("access_refused")) < 5, processor.tail()
        verify(pipeline.deployment, sender)
        assert processor.stop() == 0, processor.tail()


def test_a_password_is_changed_behind_our_back(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """Until the new one is in the file the processor is refused; then it goes on by itself."""
    user = unique("user")
    secured.set_password(user, "first")
    file = tmp_path / "password"
    file.write_text("first\n")
    settings = secured.settings("scram", user, PASSWORD="", PASSWORD_FILE=str(file))
    with deployed(secured, unique("later"), tmp_path) as pipeline:
        pipeline.grant_all(user)
        processor = pipeline.processor(settings).start_and_join()
        with Sender(pipeline.deployment, [*workload(1, RECORDS)], RATE) as sender:
            processor.until(
                lambda: sum(pipeline.deployment.committed().values()) > 0, NOTICED, "a commit"
            )
            secured.set_password(user, "second")
            processor.until(lambda: refused(processor), LOGIN_SECONDS + NOTICED, "being refused")
            file.write_text("second\n")
            sender.finish()
        drain(pipeline.deployment, BACK)
        until(lambda: not readiness(processor), BACK, "being ready again")
        verify(pipeline.deployment, sender)
        assert processor.stop() == 0, processor.tail()


def test_a_certificate_of_somebody_else_is_put_in_our_place(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """New clients with it are refused; with one of ours again, all goes on from where it was."""
    name = unique("client")
    secured.files.issue(name)
    with deployed(secured, unique("later"), tmp_path) as pipeline:
        pipeline.grant_all(name)
        processor = pipeline.processor(secured.settings("mtls", name)).start_and_join()
        with Sender(pipeline.deployment, [*workload(1, RECORDS)], RATE) as sender:
            processor.until(
                lambda: sum(pipeline.deployment.committed().values()) > 0, NOTICED, "a commit"
            )
            stranger = Authority.make("stranger", now=datetime.now(UTC), days=1)
            secured.files.issue(name, by=stranger)
            processor.until(lambda: refused(processor), NOTICED, "being refused")
            secured.files.issue(name)
            sender.finish()
        drain(pipeline.deployment, BACK)
        processor.until(lambda: not readiness(processor), BACK, "being ready again")
        verify(pipeline.deployment, sender)
        assert processor.events("clients_replaced"), processor.tail()
        assert processor.stop() == 0, processor.tail()
