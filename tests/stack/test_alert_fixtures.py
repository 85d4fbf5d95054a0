"""The fixtures of the drills: alerts that come to a real Alertmanager, a broker's own numbers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from lanternpipe.testing.kafka_cluster import kafka_cluster
from tests.chaos.waiting import until
from tests.scrape import scraped, value
from tests.stack.alertmanager import Alertmanager, alertmanager
from tests.stack.install import StackError
from tests.stack.jmx_exporter import Agents
from tests.stack.prometheus import EACH_SECOND, configured_prometheus
from tests.stack.test_fixtures import target

if TYPE_CHECKING:
    from pathlib import Path

ARRIVES = 20.0  # seconds from a condition to Alertmanager
ROUTES = """
route: {receiver: nobody, routes: [{receiver: on-call, matchers: [severity="page"]}]}
receivers: [{name: nobody}, {name: on-call}]
inhibit_rules:
  - {source_matchers: [alertname="Cause"], target_matchers: [alertname="Effect"]}
"""
RULES = """
groups:
  - name: here
    rules:
      - alert: Cause
        expr: up{job="prometheus"} == 1
        labels: {severity: page}
        annotations: {summary: "{{ $labels.job }} is up"}
      - {alert: Effect, expr: up == 1}
      - {alert: Ends, expr: 'up{job="processor"} == 1'}
"""
BROKER = """
rules:
  - pattern: 'kafka.server<type=ReplicaManager, name=PartitionCount><>Value'
    name: kafka_server_replicamanager_partitioncount
"""


def sending(receiver: Alertmanager, rules: Path, address: str) -> dict[str, Any]:
    """Return the configuration of a Prometheus that sends its alerts to a receiver."""
    manager = [{"targets": [receiver.address]}]
    return {
        "global": {**dict.fromkeys(EACH_SECOND, "1s"), "external_labels": {"site": "here"}},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": manager}]},
        "scrape_configs": [
            {"job_name": "prometheus", "static_configs": manager},
            {"job_name": "processor", "static_configs": [{"targets": [address]}]},
        ],
    }


def test_alerts_come_to_alertmanager_and_end(tmp_path: Path) -> None:
    """An alert is there with labels, annotations, receivers and state, and goes when it ends."""
    rules, routes = tmp_path / "rules.yaml", tmp_path / "routes.yaml"
    routes.write_text(ROUTES)
    rules.write_text(RULES)
    all_of_them = {("Cause", "active"), ("Effect", "suppressed"), ("Ends", "active")}
    with ExitStack() as ends, alertmanager(routes) as receiver:

        def seen() -> set[tuple[str, str]]:
            return {(alert.name, alert.state) for alert in receiver.alerts()}

        address = ends.enter_context(target())
        with configured_prometheus(sending(receiver, rules, address)):
            until(lambda: seen() == all_of_them, ARRIVES, "all alerts")
            (cause,) = (each for each in receiver.alerts() if each.name == "Cause")
            assert cause.labels["site"] == "here"
            assert cause.annotations == {"summary": "prometheus is up"}
            assert cause.receivers == ("on-call",)
            ends.close()
            until(lambda: ("Ends", "active") not in seen(), ARRIVES, "the end of one alert")
            assert ("Cause", "active") in seen()


def test_refused_routes_are_told_with_the_log(tmp_path: Path) -> None:
    """An Alertmanager that refuses its configuration fails at once, with its own words."""
    routes = tmp_path / "routes.yaml"
    routes.write_text(ROUTES.replace("nobody,", "somebody,"))
    with (
        pytest.raises(StackError, match="alertmanager ended while starting") as caught,
        alertmanager(routes, directory=tmp_path / "run"),
    ):
        pass
    assert "somebody" in "".join(caught.value.__notes__)


def test_broker_tells_its_own_numbers(tmp_path: Path) -> None:
    """Each broker's agent tells what its configuration names."""
    config = tmp_path / "broker.yaml"
    config.write_text(BROKER)
    agents = Agents(config)
    with kafka_cluster(jvm_flags=agents.flags):
        url = f"http://{agents.addresses[1]}/metrics"
        name = "kafka_server_replicamanager_partitioncount"
        assert value(scraped(url), name) == 0
