"""What tests do with a deployed pipeline."""

from __future__ import annotations

from collections.abc import Callable

from lanternpipe.testing.history import Report, check
from tests.chaos.deployment import Deployment
from tests.chaos.reader import seen
from tests.chaos.waiting import until
from tests.chaos.workload import Record, Sender

SECONDS = 60.0  # for anything to happen; most takes one or two
SHORTEST = 6.0  # session and transaction time-outs that brokers accept
HASTE = {
    "KAFKA__SESSION_TIMEOUT": f"{SHORTEST:g}",
    "KAFKA__TRANSACTION_TIMEOUT": f"{SHORTEST:g}",
}

Deploy = Callable[..., Deployment]


def send(deployment: Deployment, records: list[Record]) -> Sender:
    """Send records as fast as possible and return once all are acknowledged."""
    with Sender(deployment, records) as sender:
        sender.finish()
    return sender


def drain(deployment: Deployment, seconds: float = SECONDS) -> None:
    """Wait until the group has committed all there is."""
    until(deployment.drained, seconds, "the group has committed all there is")


def verify(deployment: Deployment, sender: Sender) -> Report:
    """Fail unless every record has become what it should, once."""
    report = check(sender.history(), seen(deployment, sender.placed))
    assert report.ok, report.summary()
    assert report.acks["acknowledged"] == len(sender.records)
    assert report.seen > 0
    return report
