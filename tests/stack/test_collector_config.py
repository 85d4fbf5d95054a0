"""The shipped configuration of the Collector, run as it is but for addresses, by the real one."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.waiting import until
from tests.chaos.workload import Sender, workload
from tests.scrape import value
from tests.stack.backend import Backend, backend
from tests.stack.collector import Collector, collector
from tests.stack.install import COLLECTOR, binary
from tests.stack.server import ask
from tests.stack.test_fixtures import send, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lanternpipe.testing.kafka_cluster import KafkaCluster

SHIPPED = Path(__file__).parents[2] / "deploy/otel-collector/config.yaml"
SECONDS = 60.0
SEVERITIES = {"debug": 5, "info": 9, "warning": 13, "error": 17}  # of OpenTelemetry
# Of bytes.
SMALL = {"queue_size": 50_000, "batch": {"min_size": 1_000, "max_size": 20_000}}
SECRETS = {
    "an e-mail address": "mallory.o'hara+test@mail.example.org",
    "an IPv4 address": "203.0.113.77",
    "an IPv6 address": "2001:db8:85a3:8d3:1319:8a2e:370:7348",
    "a shortened IPv6 address": "2001:db8::1319:7348",
    "a card": "4111 1111 1111 1111",
}


class Containers:
    """The log files of containers, as Docker's json-file driver writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def print(self, line: str, *, service: str = "processor", tag: str = "lanternpipe") -> None:
        """Let a container print a line."""
        file = self._folder / service / f"{service}-json.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        written = {
            "log": line + "\n",
            "stream": "stdout",
            "attrs": {"com.docker.compose.service": service, "tag": tag},
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        with file.open("a") as log:
            log.write(json.dumps(written) + "\n")

    def rotate(self, service: str = "processor") -> None:
        """Begin a new file, as the driver does with one that is large."""
        file = self._folder / service / f"{service}-json.log"
        file.rename(f"{file}.1")


@contextmanager
def shipped(sink: Backend, folder: Path, **over: Any) -> Iterator[Collector]:
    """Run the shipped configuration, with exports that the sink can read."""
    readable = {"encoding": "json", "compression": "none"}
    quick = {"retry_on_failure": {"initial_interval": "100ms", "max_interval": "200ms"}}
    here = {
        "receivers": {"file_log": {"include": [str(folder / "containers/*/*-json.log*")]}},
        "exporters": {
            name: {**readable, **quick, **over} for name in ("otlp_http/tempo", "otlp_http/loki")
        },
    }
    addresses = {"TEMPO_ENDPOINT": sink.url, "LOKI_ENDPOINT": f"{sink.url}/otlp"}
    with collector(SHIPPED, environment=addresses, over=here, directory=folder) as server:
        yield server


@pytest.fixture(name="sink")
def _sink() -> Iterator[Backend]:
    """Take what the Collector exports."""
    with backend() as server:
        yield server


def own_metric(server: Collector, name: str, **labels: str) -> float:
    """Return one of the Collector's own metrics; 0 where it does not exist yet."""
    text = ask(server.metrics_address, "/metrics")[1].decode()
    return value(text, name, **labels) or 0.0


def test_it_is_valid() -> None:
    """The file is a valid configuration as it is shipped."""
    command = [str(binary(COLLECTOR)), "validate", f"--config={SHIPPED}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_lines_and_spans_of_a_processor_arrive(
    kafka: KafkaCluster,
    unique: Callable[[str], str],
    sink: Backend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lines come with event, level, time, service and trace, and the trace's spans beside them."""
    with (
        shipped(sink, tmp_path) as server,
        Deployment.on(kafka, unique("shipped"), tmp_path, {"LOG__LEVEL": "debug"}) as deployment,
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.endpoint)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        processor = Processor(deployment, "processor").start_and_join()
        with Sender(deployment, list(workload(1, 200, poison=0.1))) as sender:
            sender.finish()
        until(deployment.drained, SECONDS, "all committed")
        assert processor.stop() == 0
        lines = list(processor._lines())
        containers = Containers(tmp_path / "containers")
        for line in lines:
            containers.print(json.dumps(line))
        until(lambda: len(sink.lines()) >= len(lines), SECONDS, "all lines")
        failed = {line["trace_id"] for line in lines if "trace_id" in line}
        until(lambda: failed <= {each["traceId"] for each in sink.spans()}, SECONDS, "their spans")
    assert failed
    for found, line in zip(sink.lines(), lines, strict=True):
        assert found["body"] == line["event"]
        assert found["severityNumber"] == SEVERITIES[line["level"]]
        assert found["resource"] == {"service.name": "lanternpipe-processor"}
        seconds, micros = divmod(int(found["timeUnixNano"]) // 1_000, 1_000_000)
        told = datetime.fromisoformat(line["timestamp"])
        assert (seconds, micros) == (int(told.timestamp()), told.microsecond)
        assert found.get("traceId", "") == line.get("trace_id", "")
        elsewhere = {"event", "service", "level", "timestamp", "trace_id", "span_id"}
        kept = set(found["attributes"]) - {"log.iostream"}
        assert kept == {name for name in line if name not in elsewhere}


def test_what_is_no_line_of_ours_arrives_as_text(sink: Backend, tmp_path: Path) -> None:
    """A dump of stacks arrives line by line under its service; other containers' lines do not."""
    with shipped(sink, tmp_path):
        containers = Containers(tmp_path / "containers")
        containers.print("Traceback (most recent call last):")
        containers.print('{"torn', service="lag")
        containers.print('{"event": "foreign"}', service="database", tag="")
        containers.print('{"event": "last", "level": "warning"}')
        until(lambda: len(sink.lines()) >= 3, SECONDS, "three lines")
        until(lambda: "last" in {each["body"] for each in sink.lines()}, SECONDS, "the last")
    found = {(each["body"], each["resource"]["service.name"]) for each in sink.lines()}
    assert found == {
        ("Traceback (most recent call last):", "lanternpipe-processor"),
        ('{"torn', "lanternpipe-lag"),
        ("last", "lanternpipe-processor"),
    }


def test_what_is_personal_stays_here(sink: Backend, tmp_path: Path) -> None:
    """What looks like personal data is masked in attributes and in the text of lines."""
    hidden = " ".join(f"before {secret} behind" for secret in SECRETS.values())
    with shipped(sink, tmp_path) as server:
        containers = Containers(tmp_path / "containers")
        containers.print(json.dumps({"event": "odd", "error": hidden, "device_id": "d-1"}))
        containers.print(hidden)
        attributes = {
            name: {"stringValue": secret}
            for name, secret in zip("abcde", SECRETS.values(), strict=True)
        }
        request = span("process", user_id={"stringValue": "u-1"}, **attributes)
        assert send(server, request) == 200
        until(lambda: len(sink.lines()) == 2, SECONDS, "two lines")
        until(lambda: len(sink.spans()) == 1, SECONDS, "a span")
    told = json.dumps([sink.lines(), sink.spans()])
    assert "before" in told
    assert "behind" in told
    for what, secret in {**SECRETS, "a user": "u-1", "a device": "d-1"}.items():
        assert secret not in told, what


def test_ordinary_values_are_left_alone(sink: Backend, tmp_path: Path) -> None:
    """Times, versions, ids, offsets, frames and broker addresses are not taken for personal."""
    ordinary = {
        "event": "ordinary",
        "brokers": "10.0.0.7:9092,kafka:29092",
        "first": "user-login/3/1234567890",
        "frames": "transform.py:12:transform",
        "run": "2026-01-31T08:00:00.123456Z",
        "text": "librdkafka 2.15.0 12:34:56 63cd3c70-6c44-4971-9fc9-6c45612f31c9",
        "records": 123456789012,
    }
    with shipped(sink, tmp_path):
        Containers(tmp_path / "containers").print(json.dumps(ordinary))
        until(lambda: len(sink.lines()) == 1, SECONDS, "the line")
    (found,) = sink.lines()
    for name, content in ordinary.items():
        if name != "event":
            assert found["attributes"][name] == content


def test_nothing_accepted_is_lost_over_an_outage_and_a_crash(sink: Backend, tmp_path: Path) -> None:
    """With the backends away and the Collector killed meanwhile, all arrives in the end."""
    sink.ill = "refuses"
    containers = Containers(tmp_path / "containers")
    with shipped(sink, tmp_path) as server:
        for number in range(50):
            assert send(server, span(f"span {number}")) == 200
            containers.print(json.dumps({"event": f"line {number}"}))
        until(lambda: sink.asked > 3, SECONDS, "refused exports")
        until(
            lambda: own_metric(server, "otelcol_receiver_accepted_log_records_total") >= 50,
            SECONDS,
            "all lines read",
        )
        server.kill()
        for number in range(50, 60):
            containers.print(json.dumps({"event": f"line {number}"}))
        server.start()
        assert send(server, span("span 50")) == 200
        sink.ill = ""
        wanted = {f"span {number}" for number in range(51)}
        until(lambda: wanted <= {each["name"] for each in sink.spans()}, SECONDS, "all spans")
        wanted = {f"line {number}" for number in range(60)}
        until(lambda: wanted <= {each["body"] for each in sink.lines()}, SECONDS, "all lines")


def test_lines_that_were_rotated_away_meanwhile_arrive(sink: Backend, tmp_path: Path) -> None:
    """Lines printed while the Collector is down arrive, from the older file, too."""
    containers = Containers(tmp_path / "containers")
    with shipped(sink, tmp_path) as server:
        containers.print('{"event": "before"}')
        until(lambda: len(sink.lines()) == 1, SECONDS, "the first line")
        server.stop()
        for number in range(10):
            containers.print(json.dumps({"event": f"older {number}"}))
        containers.rotate()
        for number in range(5):
            containers.print(json.dumps({"event": f"newer {number}"}))
        server.start()
        until(lambda: len(sink.lines()) >= 16, SECONDS, "all lines")
    assert len({each["body"] for each in sink.lines()}) == len(sink.lines()) == 16


def test_a_backend_that_hangs_fills_a_queue_of_bounded_size(sink: Backend, tmp_path: Path) -> None:
    """When a backend never answers and the queue is full, more is refused, and that is counted."""
    sink.ill = "hangs"
    with shipped(sink, tmp_path, sending_queue=SMALL) as server:
        # Senders keep what is refused for a while, and then count it as dropped themselves.
        until(lambda: send(server, span("x" * 5_000)) != 200, SECONDS, "a refusal for want of room")
        failed = "otelcol_exporter_enqueue_failed_spans_total"
        until(lambda: own_metric(server, failed) > 0, SECONDS, "counted")
        # The logs have a queue of their own.
        Containers(tmp_path / "containers").print('{"event": "read"}')
        read = "otelcol_receiver_accepted_log_records_total"
        until(lambda: own_metric(server, read) == 1, SECONDS, "the line accepted")
        assert own_metric(server, "otelcol_exporter_queue_capacity") == 50_000
