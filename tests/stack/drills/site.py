"""One group of a drill: its topics, processors, witness and trickle of records."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from confluent_kafka import Producer

from lanternpipe.testing.kafka_cluster import KafkaCluster
from lanternpipe.testing.kafka_install import free_ports
from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.stack.drills.plan import FAULTS
from tests.stack.server import HOST

PARTITIONS = 3
TICK = 0.5
FLUSH_SECONDS = 10.0
START_SECONDS = 120.0
WITNESS = ("lanternpipe", "lag", "--serve", "--every", "2")
PRODUCER = ("lanternpipe", "produce", "--serve", "--rate")
SWITCHED = {"APP": "tests.stack.drills.app:pipeline"}
# All that waits for nothing but time, as short as the settings allow.
QUICK = {
    "KAFKA__SESSION_TIMEOUT": "6",
    "KAFKA__TRANSACTION_TIMEOUT": "6",
    "KAFKA__EXTRA__STATISTICS_INTERVAL_MS": "1000",
    "KAFKA__CONSUMER_EXTRA__HEARTBEAT_INTERVAL_MS": "500",
    # Ten groups would ask three brokers for records ten times a second each.
    "KAFKA__CONSUMER_EXTRA__FETCH_WAIT_MAX_MS": "500",
    "KAFKA__CONSUMER_EXTRA__FETCH_MIN_BYTES": "1",
    "TELEMETRY__SIGNALS": "metrics,logs",
    "TOPICS__PARTITIONS": f"{PARTITIONS}",
    "COMMIT__SHORTEST": "1",  # a transaction costs three brokers far more than a few records
}
GOOD = (
    b'{"user_id": "u", "app_version": "2.3.0", "ip": "::1", "locale": "NV", '
    b'"device_id": "%d", "timestamp": 1729741922, "device_type": "iOS"}'
)


class Site:
    """One group and all that belongs to it. Its programs keep their ports when started again.

    Args:
        cluster: Where it runs.
        name: Of the group.
        folder: Where its logs go.
        processors: How many.
        settings: Of all its programs, without ``PIPELINE_``.
        rate: Records per second of the trickle, by a thread of the test.
        producer: Records per second of a real producer; none without.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        name: str,
        folder: Path,
        *,
        processors: int = 1,
        settings: Mapping[str, str] | None = None,
        rate: float = 0.0,
        producer: float = 0.0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.cluster, self.rate = name, cluster, rate
        self._fault = Path(os.environ[FAULTS], name)
        given = {**QUICK, **(settings or {})}
        self.deployment = Deployment.on(cluster, name, folder, given, partitions=PARTITIONS)
        self._ports = iter(free_ports(processors + 2))
        self.processors = [
            self.program(f"processor-{number}") for number in range(1, processors + 1)
        ]
        self.witness = self.program("witness", WITNESS)
        self.producer = self.program("producer", [*PRODUCER, f"{producer}"]) if producer else None

    def program(self, name: str, module: Sequence[str] = ("lanternpipe", "process")) -> Program:
        """Return one more program, which does not run yet."""
        return Program(self.deployment, name, next(self._ports), module)

    def start(self) -> None:
        """Start all programs; nothing is waited for."""
        for each in (*self.processors, self.witness, *([self.producer] if self.producer else ())):
            each.start()

    def await_work(self) -> None:
        """Wait until every processor has partitions."""
        for each in self.processors:
            each.until(lambda each=each: bool(each.partitions()), START_SECONDS, "partitions")  # type: ignore[misc]

    def targets(self) -> dict[str, list[str]]:
        """Return what is to be scraped, by job."""
        found = {
            "processor": [each.address for each in self.processors],
            "lag": [self.witness.address],
        }
        return {**found, "producer": [self.producer.address]} if self.producer else found

    def owns(self, labels: Mapping[str, str]) -> bool:
        """Tell whether an alert with these labels tells of this group or its programs."""
        return (
            labels.get("group") == self.name
            or labels.get("messaging_destination_name") == self.deployment.input
            or labels.get("instance") in {each for some in self.targets().values() for each in some}
        )

    @contextmanager
    def going_wrong(self, fault: str) -> Iterator[None]:
        """Let the switched pipeline do wrong within the block."""
        self._fault.write_text(fault)
        try:
            yield
        finally:
            self._fault.unlink()


class Program(Processor):
    """A program of a site, at a port that is known beforehand."""

    def __init__(
        self,
        deployment: Deployment,
        name: str,
        port: int,
        module: Sequence[str],
        **settings: str,
    ) -> None:
        super().__init__(deployment, name, module=module, HTTP__PORT=f"{port}", **settings)
        self.address = f"{HOST}:{port}"

    def set(self, **settings: str) -> None:
        """Change settings; they hold from the next start on."""
        self._settings.update(settings)


class Trickle:
    """Sends good records to sites at their rates, in a thread of the test.

    Args:
        sites: Their rates are read again and again.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = sites

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send within the block."""
        servers = self._sites[0].cluster.bootstrap_servers
        producer = Producer({"bootstrap.servers": servers, "log_level": 0, "linger.ms": 50})
        done = Event()

        def send() -> None:
            due = dict.fromkeys((site.name for site in self._sites), 0.0)
            keys = itertools.count()
            before = time.monotonic()
            while not done.wait(TICK):
                now = time.monotonic()
                for site in self._sites:
                    due[site.name] += (now - before) * site.rate
                    for _ in range(int(due[site.name])):
                        number = next(keys)
                        producer.produce(site.deployment.input, GOOD % number, b"%d" % number)
                    due[site.name] %= 1.0
                before = now
                producer.poll(0)

        thread = Thread(target=send, name="trickle", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            producer.flush(FLUSH_SECONDS)
