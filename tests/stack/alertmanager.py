"""A real Alertmanager for the length of a ``with`` block."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanternpipe.testing.kafka_install import free_ports
from tests.stack.install import ALERTMANAGER, StackError, binary
from tests.stack.server import HOST, Server, ask, running

if TYPE_CHECKING:
    from collections.abc import Iterator

ALERTS = "/api/v2/alerts?active=true&silenced=true&inhibited=true&unprocessed=true"


@dataclass(frozen=True)
class Alert:
    """One alert that has not ended.

    Attributes:
        name: Of its rule.
        labels: All of them, the name included.
        annotations: What people are told.
        receivers: Who is told, by the routes.
        state: ``active``, ``suppressed`` (silenced or inhibited) or, for a moment, ``unprocessed``.
        since: When its condition had held for long enough, in seconds since 1970.
    """

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    receivers: tuple[str, ...]
    state: str
    since: float


class Alertmanager(Server):
    """A running Alertmanager: its address, its alerts, and its switches."""

    def __init__(self, config: Path, folder: Path, group: int) -> None:
        self.address = f"{HOST}:{free_ports(1)[0]}"
        super().__init__(
            "alertmanager",
            folder,
            group,
            command=[
                str(binary(ALERTMANAGER)),
                f"--config.file={config.resolve()}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",  # alone: it would look for others of its kind
            ],
            ready=(self.address, "/-/ready"),
        )

    def alerts(self) -> list[Alert]:
        """Return the alerts that have not ended, also those that nobody is told of."""
        status, body = ask(self.address, ALERTS)
        if status != HTTPStatus.OK:
            raise StackError(f"Alertmanager answers {status}: {body.decode(errors='replace')}")
        return [_alert(each) for each in json.loads(body)]


@contextmanager
def alertmanager(config: Path, *, directory: Path | None = None) -> Iterator[Alertmanager]:
    """Run an Alertmanager.

    Args:
        config: Its configuration.
        directory: Where its files go and stay. By default a temporary folder.
    """

    def make(folder: Path, group: int) -> Alertmanager:
        return Alertmanager(config, folder, group)

    with running(make, directory) as server:
        yield server


def _alert(told: dict[str, Any]) -> Alert:
    labels: dict[str, str] = told["labels"]
    return Alert(
        name=labels["alertname"],
        labels=labels,
        annotations=told["annotations"],
        receivers=tuple(each["name"] for each in told["receivers"]),
        state=told["status"]["state"],
        since=datetime.fromisoformat(told["startsAt"]).timestamp(),
    )
