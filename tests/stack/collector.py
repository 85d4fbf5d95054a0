"""A real OpenTelemetry Collector for the length of a ``with`` block.

A configuration is run as it is, but for what belongs to this machine, which is laid over it: ports,
the files that are read and written. So these names are given: the receivers ``otlp`` and
``file_log``, the exporters ``file/traces`` and ``file/logs``, the extensions ``file_storage`` and
``health_check``. Only the last must be there, switched on. A test may lay more over it.

One file exporter for two kinds of pipelines would not do: the first pipeline that stops closes the
file, and what the other still holds then makes the Collector panic (seen with 0.150.0).
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanternpipe.testing.kafka_install import free_ports
from tests.stack.install import COLLECTOR, binary
from tests.stack.server import HOST, Server, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Collector(Server):
    """A running Collector: where it listens, what it has received, and its switches.

    Attributes:
        address: Of OTLP over HTTP, as host:port.
        endpoint: The same as a URL, as ``OTEL_EXPORTER_OTLP_ENDPOINT`` wants it.
        grpc_address: Of OTLP over gRPC.
        metrics_address: Of its own metrics, at ``/metrics``.
        traces_file: What the exporter ``file/traces`` writes, one export request a line.
        logs_file: What the exporter ``file/logs`` writes, likewise.
        container_logs: The folder whose ``*.log`` files the receiver ``file_log`` reads.
    """

    def __init__(
        self,
        config: str | Path,
        folder: Path,
        group: int,
        environment: Mapping[str, str],
        over: Mapping[str, Any],
    ) -> None:
        http, grpc, health, metrics = free_ports(4)
        self.address, self.grpc_address = f"{HOST}:{http}", f"{HOST}:{grpc}"
        self.endpoint = f"http://{self.address}"
        self.metrics_address = f"{HOST}:{metrics}"
        self.traces_file, self.logs_file = folder / "traces.jsonl", folder / "logs.jsonl"
        self.container_logs = folder / "logs"
        storage = folder / "storage"
        for needed in (self.container_logs, storage):
            needed.mkdir(parents=True, exist_ok=True)
        given = config if isinstance(config, Path) else folder / "config.yaml"
        if isinstance(config, str):
            given.write_text(config)
        logs = {"include": [str(self.container_logs / "*.log")], "start_at": "beginning"}
        here = {
            "receivers": {
                "otlp": {
                    "protocols": {
                        "http": {"endpoint": self.address},
                        "grpc": {"endpoint": self.grpc_address},
                    }
                },
                "file_log": logs,
                "filelog": logs,  # its name until 2026; one that no pipeline uses is not started
            },
            "exporters": {
                "file/traces": _json_lines(self.traces_file),
                "file/logs": _json_lines(self.logs_file),
            },
            "extensions": {
                "health_check": {"endpoint": f"{HOST}:{health}"},
                "file_storage": {
                    "directory": str(storage),
                    "compaction": {"directory": str(storage)},
                },
            },
            "service": {"telemetry": {"metrics": _metrics_at(metrics)}},
        }
        files = [given.resolve()]
        for name, layer in (("here", here), ("over", over)):
            files.append(folder / f"{name}.yaml")
            files[-1].write_text(json.dumps(layer, indent=1))  # JSON is YAML, too
        super().__init__(
            "collector",
            folder,
            group,
            command=[str(binary(COLLECTOR)), *(f"--config={file}" for file in files)],
            ready=(f"{HOST}:{health}", "/"),
            environment=environment,
        )

    def spans(self) -> list[dict[str, Any]]:
        """Return all spans received, as OTLP/JSON has them, but with attributes as plain dicts.

        Each also has ``resource`` (attributes) and ``scope`` (a name).
        """
        found = _records(self.traces_file, "resourceSpans", "scopeSpans", "spans")
        return [_plain(span) for span in found]

    def logs(self) -> list[dict[str, Any]]:
        """Return all log records received, in the shape of ``spans``; ``body`` is a plain value."""
        found = _records(self.logs_file, "resourceLogs", "scopeLogs", "logRecords")
        return [{**_plain(log), "body": plain_value(log.get("body", {}))} for log in found]


@contextmanager
def collector(
    config: str | Path,
    *,
    environment: Mapping[str, str] | None = None,
    over: Mapping[str, Any] | None = None,
    directory: Path | None = None,
) -> Iterator[Collector]:
    """Run a Collector.

    Args:
        config: The YAML itself, or a file of it.
        environment: Variables that the configuration names as ``${env:NAME}``.
        over: What else to lay over the configuration.
        directory: Where its files go and stay. By default a temporary folder.
    """

    def make(folder: Path, group: int) -> Collector:
        return Collector(config, folder, group, environment or {}, over or {})

    with running(make, directory) as server:
        yield server


def plain_attributes(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Turn OTLP/JSON's list of attributes into a dict of plain values."""
    return {each["key"]: plain_value(each.get("value", {})) for each in attributes}


def plain_value(value: Mapping[str, Any]) -> Any:
    """Turn a value of OTLP/JSON, which is an object that names its type, into a plain one."""
    for kind, inner in value.items():
        return _READ[kind](inner) if kind in _READ else inner
    return None


_READ: dict[str, Callable[[Any], Any]] = {
    "intValue": int,  # a string on the wire
    "arrayValue": lambda array: [plain_value(each) for each in array.get("values", [])],
    "kvlistValue": lambda pairs: plain_attributes(pairs.get("values", [])),
}


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Make the attributes of a record, and of a span's events and links, plain dicts."""
    plain = {**record, "attributes": plain_attributes(record.get("attributes", []))}
    for part in ("events", "links"):
        if part in record:
            plain[part] = [_plain(each) for each in record[part]]
    return plain


def _metrics_at(port: int) -> dict[str, Any]:
    return {"readers": [{"pull": {"exporter": {"prometheus": {"host": HOST, "port": port}}}}]}


def _json_lines(file: Path) -> dict[str, Any]:
    return {
        "path": str(file),
        "format": "json",
        "compression": "",
        # With rotation, at a size never reached, a second start keeps what the first has received,
        # as `append` would, which excludes it; and nothing is buffered.
        "append": False,
        "rotation": {"max_megabytes": 10_000},
    }


def _records(file: Path, of_resource: str, of_scope: str, name: str) -> Iterator[dict[str, Any]]:
    """Read the records of export requests, each with its resource and its scope."""
    for request in _requests(file):
        for resource in request.get(of_resource, []):
            attributes = plain_attributes(resource["resource"].get("attributes", []))
            for scope in resource[of_scope]:
                about = {"resource": attributes, "scope": scope["scope"].get("name", "")}
                for record in scope[name]:
                    yield {**record, **about}


def _requests(file: Path) -> Iterator[dict[str, Any]]:
    if not file.exists():
        return
    with file.open() as lines:
        for line in lines:
            if line.endswith("\n"):  # else it is still being written
                yield json.loads(line)
