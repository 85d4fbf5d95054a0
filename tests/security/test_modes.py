"""Every way to get in, with the least rights there are, and records that come through once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.workload import workload
from tests.integration.deployed import drain, send, verify
from tests.security.broker import SecuredBroker
from tests.security.pipelines import deployed

pytestmark = pytest.mark.kafka
RECORDS = 3_000


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
@pytest.mark.parametrize("mode", ["mtls", "scram", "plain", "oauthbearer"])
def test_records_come_through(
    secured: SecuredBroker,
    unique: Callable[[str], str],
    tmp_path: Path,
    mode: str,
    delivery: str,
) -> None:
    """A processor with no right too many processes every record once, and stops in order."""
    with deployed(secured, unique(mode), tmp_path) as pipeline:
        pipeline.grant_all(but="use the transactional id" if delivery == "at-least-once" else "")
        processor = pipeline.processor(secured.settings(mode), DELIVERY=delivery)
        processor.start_and_join()
        sender = send(pipeline.deployment, [*workload(1, RECORDS)])
        drain(pipeline.deployment)
        verify(pipeline.deployment, sender)
        assert processor.stop() == 0, processor.tail()


def test_encryption_alone(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """Where nobody asks who we are, encryption is all it takes."""
    with deployed(secured, unique("tls"), tmp_path) as pipeline:
        processor = pipeline.processor(secured.settings("tls")).start_and_join()
        sender = send(pipeline.deployment, [*workload(1, RECORDS)])
        drain(pipeline.deployment)
        verify(pipeline.deployment, sender)
        assert processor.stop() == 0, processor.tail()
