"""A real Prometheus for the length of a ``with`` block."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lanternpipe.testing.kafka_install import free_ports
from tests.chaos.waiting import until
from tests.stack.install import PROMETHEUS, StackError, binary
from tests.stack.server import HOST, Server, ask, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

EACH_SECOND = ("scrape_interval", "scrape_timeout", "evaluation_interval")
UP_SECONDS = 30.0  # for the first scrape of a target, each second one


@dataclass(frozen=True)
class Sample:
    """One element of a query's answer; ``labels`` hold the name, too, where there is one."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class Exemplar:
    """One exemplar: the labels of its series, its own, its value and its time in seconds."""

    series: dict[str, str]
    labels: dict[str, str]
    value: float
    timestamp: float


class Prometheus(Server):
    """A running Prometheus: its address, its answers, and its switches."""

    def __init__(
        self,
        config: Mapping[str, Any],
        environment: Mapping[str, str],
        folder: Path,
        group: int,
    ) -> None:
        self.address = f"{HOST}:{free_ports(1)[0]}"
        file = folder / "prometheus.yaml"
        file.write_text(json.dumps(config, indent=1))  # JSON is YAML, too
        super().__init__(
            "prometheus",
            folder,
            group,
            command=[
                str(binary(PROMETHEUS)),
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--enable-feature=exemplar-storage",
                "--scrape.discovery-reload-interval=100ms",  # 5 s by default until the first scrape
                # A minute by default, for what was sent before the Alertmanager was known.
                "--rules.alert.resend-delay=5s",
            ],
            ready=(self.address, "/-/ready"),
            environment=environment,
        )

    def query(self, expression: str) -> list[Sample]:
        """Return the value of a PromQL expression now."""
        data = self.ask_api("query", query=expression)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        if data["resultType"] != "vector":
            raise StackError(f"a {data['resultType']} has many values: {expression}")
        return [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]

    def reload(self) -> None:
        """Let it read its configuration and its rules anew."""
        self._send(signal.SIGHUP)

    def query_exemplars(self, expression: str, start: float, end: float) -> list[Exemplar]:
        """Return the exemplars of the series in an expression, between two Unix times."""
        data = self.ask_api("query_exemplars", query=expression, start=str(start), end=str(end))
        return [
            Exemplar(
                series=series["seriesLabels"],
                labels=each["labels"],
                value=float(each["value"]),
                timestamp=float(each["timestamp"]),
            )
            for series in data
            for each in series["exemplars"]
        ]

    def series(self, match: str) -> list[dict[str, str]]:
        """Return the labels of the series that a selector matches."""
        labels: list[dict[str, str]] = self.ask_api("series", **{"match[]": match})
        return labels

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing, as the API gives them."""
        # The API takes no POST here, and no parameters.
        status, body = ask(self.address, "/api/v1/alerts")
        alerts: list[dict[str, Any]] = _data(status, body)["alerts"]
        return alerts

    def ask_api(self, path: str, **parameters: str) -> Any:
        """Send a query to the API and return its data."""
        form = urlencode(parameters).encode()
        kind = "application/x-www-form-urlencoded"
        return _data(*ask(self.address, f"/api/v1/{path}", form, content_type=kind))


@contextmanager
def prometheus(
    targets: Mapping[str, Sequence[str]],
    *,
    rules: Sequence[Path] = (),
    directory: Path | None = None,
) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes each second, and wait until one of its targets is up.

    Args:
        targets: By job, the addresses (host:port) whose ``/metrics`` to scrape; may be empty.
        rules: Files of alerting and recording rules.
        directory: Where its files go and stay. By default a temporary folder.
    """
    config = {
        "global": dict.fromkeys(EACH_SECOND, "1s"),
        "rule_files": [str(file.resolve()) for file in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
            for job, addresses in targets.items()
        ],
    }
    with configured_prometheus(config, directory=directory) as server:
        if targets:
            what = f"one of the targets is up: {dict(targets)}"
            until(lambda: bool(server.query("up == 1")), UP_SECONDS, what)
        yield server


@contextmanager
def configured_prometheus(
    config: Mapping[str, Any],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Iterator[Prometheus]:
    """Run a Prometheus with a configuration of its own.

    Args:
        config: As in its file.
        environment: Variables that the configuration names as ``${NAME}``.
        directory: Where its files go and stay. By default a temporary folder.
    """

    def make(folder: Path, group: int) -> Prometheus:
        return Prometheus(config, environment or {}, folder, group)

    with running(make, directory) as server:
        yield server


def _data(status: int, body: bytes) -> Any:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {"error": body.decode(errors="replace")}
    if answer.get("status") != "success":
        raise StackError(f"Prometheus answers {status}: {answer.get('error')}")
    return answer["data"]
