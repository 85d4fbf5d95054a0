"""All that the dashboards ask about, running: broker, Collector, programs and Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from lanternpipe import EventProducer
from lanternpipe.settings import KafkaSettings
from lanternpipe.testing.kafka_install import free_ports
from logins.events import UserLogin
from logins.pipeline import pipeline
from tests.brokers import cluster_or_skip
from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.waiting import until
from tests.stack.backend import Backend, backend
from tests.stack.collector import collector
from tests.stack.drills.shorten import Clock, shortened
from tests.stack.jmx_exporter import Agents
from tests.stack.prometheus import EACH_SECOND, Prometheus, configured_prometheus
from tests.stack.server import HOST

DEPLOY = Path(__file__).parents[2] / "deploy"
SECONDS = 60.0
PARTITIONS = 3
TIMES = {
    "KAFKA__SESSION_TIMEOUT": "6",
    "KAFKA__TRANSACTION_TIMEOUT": "6",
    "KAFKA__EXTRA__STATISTICS_INTERVAL_MS": "1000",
}
LOGIN = UserLogin("user", "2.3.0", "::1", "NV", "device", 0, "iOS")
# A queue that some seconds of spans fill, and nothing is tried twice: what is lost is seen at once.
SMALL = {
    "sending_queue": {"queue_size": 100_000, "num_consumers": 1, "batch": None},
    "retry_on_failure": {"enabled": False},
    "encoding": "json",
    "compression": "none",
}


@dataclass(frozen=True)
class Whole:
    """What runs.

    Attributes:
        deployment: The group and its topics.
        processors: Two.
        addresses: Theirs, for Prometheus.
        prometheus: Scrapes all of it.
        sink: Stands for Tempo and Loki.
        logs: The folder whose files the Collector reads as those of containers.
    """

    deployment: Deployment
    processors: Sequence[Processor]
    addresses: Sequence[str]
    prometheus: Prometheus
    sink: Backend
    logs: Path

    def send(self, count: int, *, locale: str = LOGIN.locale) -> None:
        """Send logins; their locale may say that they fail."""
        topic = replace(pipeline.input, name=self.deployment.input)
        servers = KafkaSettings(bootstrap_servers=self.deployment.servers)
        with EventProducer(topic, servers) as producer:
            for number in range(count):
                given = {
                    "user_id": f"user-{number}",
                    "locale": locale,
                    "timestamp": int(time.time()),
                }
                producer.send(msgspec.structs.replace(LOGIN, **given))

    def say(self, count: int) -> None:
        """Let a container print lines."""
        line = json.dumps({"event": "progress", "level": "info", "service": "lanternpipe"}) + "\n"
        written = {"log": line, "stream": "stdout", "attrs": {"tag": "lanternpipe"}}
        with (self.logs / "one-json.log").open("a") as log:
            log.write((json.dumps(written) + "\n") * count)


@contextmanager
def whole(
    folder: Path,
    name: str,
    *,
    rate: int,
    clock: Clock | None,
    every: str,
    exports: Mapping[str, Any] = SMALL,
) -> Iterator[Whole]:
    """Run all of it within the block.

    Args:
        folder: Where files go.
        name: Of the group.
        rate: Records per second of the producer.
        clock: Says how much faster the rules are; None leaves them as they are.
        every: The interval of scrapes and evaluations.
        exports: How the Collector sends on what it gets.
    """
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        agents = Agents(DEPLOY / "kafka" / "jmx-exporter.yml")
        cluster = stack.enter_context(cluster_or_skip(jvm_flags=agents.flags))
        sink = stack.enter_context(backend())
        logs = folder / "containers" / "one"
        logs.mkdir(parents=True)
        receiver = stack.enter_context(
            collector(
                DEPLOY / "otel-collector" / "config.yaml",
                environment={"TEMPO_ENDPOINT": sink.url, "LOKI_ENDPOINT": f"{sink.url}/otlp"},
                over={
                    "receivers": {"file_log": {"include": [f"{logs}/*-json.log"]}},
                    "exporters": dict.fromkeys(("otlp_http/tempo", "otlp_http/loki"), exports),
                },
                directory=folder / "collector",
            )
        )
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        if clock:  # else as it is shipped
            environment.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        settings = {**TIMES, "APP": "tests.stack.failing:pipeline"}
        deployment = Deployment.on(cluster, name, folder, settings, partitions=PARTITIONS)
        stack.callback(deployment.close)
        programs: dict[str, list[tuple[str, ...]]] = {
            "processor": [("process",), ("process",)],
            "lag": [("lag", "--serve", "--every", "1")],
            "producer": [("produce", "--serve", "--rate", f"{rate}", "--poison", "0.01")],
        }
        ports = iter(free_ports(sum(len(commands) for commands in programs.values())))
        targets: dict[str, list[str]] = {
            "kafka": [*agents.addresses.values()],
            "otel-collector": [receiver.metrics_address],
        }
        processors = []
        for job, commands in programs.items():
            for number, command in enumerate(commands, start=1):
                port = next(ports)
                program = Processor(
                    *(deployment, f"{job}-{number}"),
                    module=("lanternpipe", *command),
                    HTTP__PORT=f"{port}",
                ).start()
                targets.setdefault(job, []).append(f"{HOST}:{port}")
                if job == "processor":
                    processors.append(program)
        for program in processors:
            program.until(lambda program=program: bool(program.partitions()), SECONDS, "work")  # type: ignore[misc]
        config = _prometheus(_rules(folder / "rules", clock), targets, every)
        prometheus = stack.enter_context(
            configured_prometheus(
                config,
                environment={"GRAFANA_URL": "", "RUNBOOKS_URL": ""},
                directory=folder / "prometheus",
            )
        )
        _watch_itself(prometheus, config)
        yield Whole(deployment, processors, targets["processor"], prometheus, sink, logs)


def _rules(folder: Path, clock: Clock | None) -> list[Path]:
    """Write the shipped rules on a faster clock; return the files."""
    folder.mkdir()
    written = []
    for file in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")):
        rules = yaml.safe_load(file.read_text())
        target = folder / file.name
        target.write_text(json.dumps(shortened(rules, clock) if clock else rules))
        written.append(target)
    return written


def _prometheus(
    rules: Sequence[Path], targets: Mapping[str, Sequence[str]], every: str
) -> dict[str, Any]:
    return {
        "global": dict.fromkeys(EACH_SECOND, every),
        "rule_files": [str(file.resolve()) for file in rules],
        "scrape_configs": [_job(job, addresses) for job, addresses in targets.items()],
    }


def _job(job: str, addresses: Sequence[str]) -> dict[str, Any]:
    return {"job_name": job, "static_configs": [{"targets": [*addresses]}]}


def _watch_itself(prometheus: Prometheus, config: Mapping[str, Any]) -> None:
    """Let Prometheus scrape itself, whose address is known only now."""
    itself = _job("prometheus", [prometheus.address])
    jobs = [*config["scrape_configs"], itself]
    file = prometheus.folder / "prometheus.yaml"
    file.write_text(json.dumps({**config, "scrape_configs": jobs}))
    prometheus.reload()
    count = sum(len(job["static_configs"][0]["targets"]) for job in jobs)
    until(lambda: len(prometheus.query("up == 1")) == count, SECONDS, "all targets are up")
