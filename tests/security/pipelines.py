"""A pipeline on the secured broker: its topics, the rights of its user, and its processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.security.broker import SecuredBroker

QUICK = {
    "KAFKA__SESSION_TIMEOUT": "6",
    "KAFKA__TRANSACTION_TIMEOUT": "6",
    "TELEMETRY__SIGNALS": "metrics,logs",
}
PARTITIONS = 3
# All that a processor needs, by a name for each.
RIGHTS = {
    "read the input": ("READ", "TOPIC", "{name}-in"),
    "read the replays": ("READ", "TOPIC", "{name}-in.replay"),
    "write the output": ("WRITE", "TOPIC", "{name}-out"),
    "write dead letters": ("WRITE", "TOPIC", "{name}-in.dlq"),
    "read in the group": ("READ", "GROUP", "{name}"),
    "use the transactional id": ("WRITE", "TRANSACTIONAL_ID", "{name}-p"),
}
INSTANCE = "p"


class Pipeline:
    """One deployed pipeline, and what its users may do.

    Attributes:
        deployment: Its topics and group, as an administrator deals with them.
    """

    def __init__(self, broker: SecuredBroker, deployment: Deployment) -> None:
        self.deployment = deployment
        self._broker = broker

    def grant(self, right: str, user: str = "processor") -> None:
        """Let a user do this."""
        self._broker.grant(user, *self._named(right))

    def grant_all(self, user: str = "processor", *, but: str = "") -> None:
        """Let a user do all that a processor needs, or all but one thing."""
        for right in RIGHTS:
            if right != but:
                self.grant(right, user)

    def revoke(self, right: str, user: str = "processor") -> None:
        """Take a right back."""
        self._broker.revoke(user, *self._named(right))

    def processor(
        self, settings: dict[str, str], name: str = "processor", **more: str
    ) -> Processor:
        """Return a processor that comes in by these settings; it does not run yet."""
        return Processor(self.deployment, name, **{"INSTANCE": INSTANCE, **settings, **more})

    def _named(self, right: str) -> tuple[str, str, str]:
        operation, kind, name = RIGHTS[right]
        return operation, kind, name.format(name=self.deployment.group)


@contextmanager
def deployed(broker: SecuredBroker, name: str, folder: Path) -> Iterator[Pipeline]:
    """Deploy a pipeline within the block; nobody has any rights yet."""
    with Deployment.on(broker.cluster, name, folder, QUICK, partitions=PARTITIONS) as deployment:
        yield Pipeline(broker, deployment)
