"""All that the drills need, running: brokers, groups, Collector, Prometheus and Alertmanager."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.brokers import cluster_or_skip
from tests.chaos.waiting import until
from tests.stack.alertmanager import Alertmanager, alertmanager
from tests.stack.backend import backend
from tests.stack.collector import Collector, collector
from tests.stack.drills import shipped
from tests.stack.drills.identity import DOOR, Identity
from tests.stack.drills.plan import FAULTS
from tests.stack.drills.site import SWITCHED, Site, Trickle
from tests.stack.drills.watch import AlertWatch
from tests.stack.jmx_exporter import Agents
from tests.stack.prometheus import Prometheus, configured_prometheus

UP_SECONDS = 120.0
PROPERTIES = {
    # A dead broker is noticed within so many milliseconds; 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "replica.lag.time.max.ms": "3000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # Nobody is refused anything but by a drill.
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    # Brokers among themselves: three of them cannot agree on who may vote before they have voted.
    "super.users": "User:ANONYMOUS",
}
# What stands for Tempo and Loki reads JSON.
AS_JSON = {
    "exporters": {
        name: {"encoding": "json", "compression": "none"}
        for name in ("otlp_http/tempo", "otlp_http/loki")
    }
}
TRACED = {"TELEMETRY__SIGNALS": "metrics,logs,traces"}
# What differs from site to site; each is one group, so that many faults can be made at once.
SITES: dict[str, dict[str, Any]] = {
    "main": {"processors": 2, "producer": 10.0, "settings": TRACED},
    "bugs": {"rate": 20.0, "settings": SWITCHED},
    "slow": {
        "rate": 2.0,
        "settings": {**SWITCHED, "KAFKA__MAX_POLL_INTERVAL": "120", "STALL_AFTER": "300"},
    },
    "floods": {
        "rate": 5.0,
        "settings": {
            "DEADLETTER__BREAKER__WINDOW": "100",
            # By heartbeats members learn that others come; a storm has to fit into 15 s.
            "KAFKA__CONSUMER_EXTRA__HEARTBEAT_INTERVAL_MS": "300",
        },
    },
    "retries": {
        "rate": 5.0,
        "settings": {
            **SWITCHED,
            "RETRY__MAX_ATTEMPTS": "0",
            "RETRY__LONGEST": "0.5",
            "BATCH_RECORDS": "10",
        },
    },
    "idle": {"rate": 5.0},
    "stuck": {"rate": 5.0},
    "refused": {"producer": 5.0},
}

ENCRYPTED = "refused"  # the group that comes by the encrypted door

Say = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """What runs.

    Attributes:
        cluster: Three brokers.
        sites: The groups, by name.
        collector: Takes the traces.
        prometheus: With the shipped rules on a faster clock.
        watch: Keeps book of what Alertmanager holds.
        identity: Issues certificates for one group.
    """

    cluster: KafkaCluster
    sites: Mapping[str, Site]
    collector: Collector
    prometheus: Prometheus
    watch: AlertWatch
    identity: Identity


@contextmanager
def stage(folder: Path, say: Say) -> Iterator[Stage]:
    """Run all of it within the block.

    Args:
        folder: Where logs and files go.
        say: Is told how far it is.
    """
    with ExitStack() as stack:
        faults = folder / "faults"
        faults.mkdir(parents=True)
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv(FAULTS, str(faults))
        environment.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        agents = Agents(shipped.BROKER_CONFIG)
        identity = Identity(folder / "certificates")
        cluster = stack.enter_context(
            cluster_or_skip(
                brokers=3,
                properties={**PROPERTIES, **identity.properties()},
                doors={DOOR: "SSL"},
                jvm_flags=agents.flags,
                directory=folder / "kafka",
            )
        )
        say("three brokers run")
        sink = stack.enter_context(backend())
        receiver = stack.enter_context(
            collector(
                shipped.COLLECTOR_CONFIG,
                environment={"TEMPO_ENDPOINT": sink.url, "LOKI_ENDPOINT": f"{sink.url}/otlp"},
                over=AS_JSON,
                directory=folder / "collector",
            )
        )
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        environment.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")  # gives up after so many seconds
        sites = _sites(cluster, folder, identity)
        for site in sites.values():
            stack.callback(site.deployment.close)
        say(f"{len(sites)} groups run")
        stack.enter_context(Trickle(list(sites.values())).running())
        manager = stack.enter_context(
            alertmanager(shipped.ALERTMANAGER_CONFIG, directory=folder / "alertmanager")
        )
        targets = _targets(sites, agents, receiver, manager)
        rules = shipped.short_rules(folder / "rules")
        prometheus = stack.enter_context(
            configured_prometheus(
                shipped.prometheus_config(rules, targets, manager.address),
                environment=shipped.LINKS,
                directory=folder / "prometheus",
            )
        )
        count = sum(map(len, targets.values()))
        up = lambda: len(prometheus.query("up == 1")) == count  # noqa: E731
        until(up, UP_SECONDS, f"all targets are up: {targets}")
        say(f"{count} targets are up")
        watch = AlertWatch(manager)
        stack.enter_context(watch.running())
        yield Stage(cluster, sites, receiver, prometheus, watch, identity)


def _sites(cluster: KafkaCluster, folder: Path, identity: Identity) -> dict[str, Site]:
    """Make all groups at once: each spends most of the time waiting."""

    def made(name: str) -> Site:
        options = dict(SITES[name])
        if name == ENCRYPTED:
            options["settings"] = identity.settings(cluster.door(DOOR))
        site = Site(cluster, name, folder / name, **options)
        site.start()
        site.await_work()
        return site

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(SITES, pool.map(made, SITES), strict=True))


def _targets(
    sites: Mapping[str, Site], agents: Agents, receiver: Collector, manager: Alertmanager
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {
        "kafka": list(agents.addresses.values()),
        "otel-collector": [receiver.metrics_address],
        "alertmanager": [manager.address],
    }
    for site in sites.values():
        for job, addresses in site.targets().items():
            found.setdefault(job, []).extend(addresses)
    return found
