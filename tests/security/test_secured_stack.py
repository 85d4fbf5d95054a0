"""deploy/compose/secure.yaml on a real broker: its settings, its users, and what each can do."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from lanternpipe.kafka.config import client_config
from lanternpipe.settings import KafkaSettings, SecuritySettings
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.brokers import cluster_or_skip
from tests.chaos.waiting import until
from tests.deploy import compose

pytestmark = pytest.mark.kafka

SECONDS = 60.0
# As the image's own script translates them (docker/resources/common-scripts in Kafka's sources).
PUNCTUATION = (("___", "-"), ("__", "_"), ("_", "."))
# What these tests' cluster says for itself.
OF_THE_CLUSTER = re.compile(
    r"log\.dirs|listeners|node\.id|process\.roles|controller|inter\.broker|protocol\.map"
)
ALSO_INTERNAL = ";User:ANONYMOUS"  # the cluster's own listeners have no certificates


def script(name: str) -> ModuleType:
    """Return a script of deploy/compose, loaded as the container runs it: by its path."""
    path = compose.ROOT / "deploy/compose" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def properties(environment: Mapping[str, Any], secrets: Path) -> dict[str, str]:
    """Return a broker's settings as the image makes them of its environment."""
    found = {}
    for name, value in environment.items():
        if not name.startswith("KAFKA_") or name in {"KAFKA_OPTS", "KAFKA_HEAP_OPTS"}:
            continue
        # Placeholders keep what one step has made from the next.
        key = name.removeprefix("KAFKA_").lower()
        for number, (before, _) in enumerate(PUNCTUATION):
            key = key.replace(before, chr(number))
        for number, (_, after) in enumerate(PUNCTUATION):
            key = key.replace(chr(number), after)
        if not OF_THE_CLUSTER.search(key):
            # Compose doubles dollars where it shows what it has understood.
            found[key] = str(value).replace("$$", "$").replace("/secrets", str(secrets))
    found["super.users"] += ALSO_INTERNAL
    return found


class Stack:
    """The services of the secured stack, run as processes.

    Args:
        cluster: In the place of the service ``kafka``.
        services: As Compose understood them.
        secrets: Holds what each volume would.
    """

    def __init__(self, cluster: KafkaCluster, services: dict[str, Any], secrets: Path) -> None:
        self.secrets = secrets
        self._services = services
        self._doors = {
            "kafka:29092": cluster.door("INSIDE"),
            "kafka:29094": cluster.door("ADMIN"),
        }

    def environment(self, service: str) -> dict[str, str]:
        """Return what a service is told, with this machine's paths and ports."""
        (volume,) = (
            each["source"]
            for each in self._services[service]["volumes"]
            if each["target"] == "/secrets"
        )
        folder = self.secrets / volume.removeprefix("vault-")
        kept = {name: value for name, value in os.environ.items() if "PIPELINE" not in name}
        given = {
            name: self._doors.get(str(value), str(value)).replace("/secrets", str(folder))
            for name, value in self._services[service]["environment"].items()
        }
        here = {"OTEL_TRACES_EXPORTER": "none", "PIPELINE_INSTANCE": ""}
        return {**kept, **given, **here}

    def run(self, service: str, *arguments: str) -> str:
        """Run a command as a service would, to its end, and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "lanternpipe", *arguments],
            env=self.environment(service),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, service: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a service by its own command within the block."""
        command = [sys.executable, "-m", "lanternpipe", *self._services[service]["command"]]
        with (self.secrets / f"{service}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=self.environment(service), stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                process.terminate()
                process.wait(SECONDS)


@pytest.fixture(name="services", scope="module")
def _services() -> dict[str, Any]:
    found: dict[str, Any] = compose.everything(*compose.SECURE)["services"]
    return found


@pytest.fixture(name="stack", scope="module")
def _stack(services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The secured broker with the stack's own users and rights."""
    secrets = tmp_path_factory.mktemp("secrets")
    script("make_secrets").make(secrets, now=datetime.now(UTC))
    with cluster_or_skip(
        doors={"INSIDE": "SASL_SSL", "ADMIN": "SSL"},
        properties=properties(services["kafka"]["environment"], secrets / "kafka"),
    ) as cluster:
        stack = Stack(cluster, services, secrets)
        subprocess.run(
            [sys.executable, compose.ROOT / "deploy/compose/make_users.py", secrets / "admin"],
            env=stack.environment("users"),
            timeout=SECONDS,
            check=True,
        )
        stack.run("topics", *services["topics"]["command"])
        yield stack


def test_records_flow_and_everybody_gets_in(stack: Stack) -> None:
    """Each service does its part by its own settings, and the lag comes down to nothing."""
    with stack.running("processor"), stack.running("lag"):
        stack.run("producer", "produce", "--count", "500", "--poison", "0.1")

        def drained() -> bool:
            told = json.loads(stack.run("lag", "lag", "--json"))
            return told["records"] == 0 and len(told["partitions"]) > 0

        until(drained, SECONDS, "everything is processed")
        assert json.loads(stack.run("replayer", "dlq", "stats", "--json"))["total"] > 0


@pytest.mark.parametrize(
    ("service", "arguments"),
    [
        ("producer", ("lag",)),
        ("lag", ("produce", "--count", "1")),
        ("replayer", ("topics", "apply", "--acls")),
        ("lag", ("topics", "diff", "--acls")),
    ],
)
def test_nobody_does_what_is_not_theirs(
    stack: Stack, service: str, arguments: tuple[str, ...]
) -> None:
    """Who asks for more is told that it may not."""
    done = subprocess.run(
        [sys.executable, "-m", "lanternpipe", *arguments],
        env=stack.environment(service),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 8, done.stdout + done.stderr
    assert "may not" in done.stderr or "uthorization" in done.stderr


def test_administrators_need_a_certificate(stack: Stack) -> None:
    """A password or the authority alone opens no door to who may do everything."""
    door = stack.environment("users")["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"]
    security = SecuritySettings(mode="tls", ca_file=stack.secrets / "admin/ca.crt")
    kafka = KafkaSettings(bootstrap_servers=door, security=security)
    admin = AdminClient({**client_config(kafka), "log_level": 0})
    with pytest.raises(Exception, match=r"_TRANSPORT|_ALL_BROKERS_DOWN|_SSL"):
        admin.list_topics(timeout=3)


def test_secrets_are_kept_and_can_be_renewed(tmp_path: Path) -> None:
    """A second run changes nothing; `--rotate` renews all but the authority and people's logins."""
    make = script("make_secrets").make
    counted = iter(range(100))

    def token(_: int) -> str:
        return f"{next(counted):032d}"

    def read() -> dict[str, bytes]:
        return {
            str(file.relative_to(tmp_path)): file.read_bytes()
            for file in tmp_path.rglob("*")
            if file.is_file()
        }

    now = datetime.now(UTC)
    make(tmp_path, now=now, token=token)
    first = read()
    written = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    make(tmp_path, now=now, token=token)
    assert read() == first
    assert all(file.stat().st_mtime_ns == when for file, when in written.items())

    make(tmp_path, now=now, rotate=True, token=token)
    changed = {name for name, content in read().items() if first[name] != content}
    same = first.keys() - changed
    assert {name for name in same if name.endswith((".key", ".crt"))} == {
        name for name in first if name.endswith(("ca.crt", "ca.key"))
    }
    assert {name for name in same if "password" in name} == {
        *(f"master/{login}.password" for login in ("admin", "prometheus", "scrapes")),
        "watch/machines-password",
        "watch/password",
        *(f"{reader}/metrics-password" for reader in ("producer", "processor", "lag", "watch")),
    }


def test_each_reader_gets_its_own_alone(tmp_path: Path) -> None:
    """No key and no password but its own is in the folder of a program."""
    script("make_secrets").make(tmp_path, now=datetime.now(UTC))

    def names(reader: str) -> set[str]:
        return {file.name for file in (tmp_path / reader).iterdir()}

    program = {"ca.crt", "tls.crt", "tls.key", "password", "metrics-password"}
    assert names("producer") == names("processor") == names("lag") == program
    assert names("replayer") == {"ca.crt", "password"}
    assert names("kafka") == {"ca.crt", "kafka.pem"}
    passwords = {
        (tmp_path / reader / "password").read_bytes()
        for reader in ("producer", "processor", "lag", "replayer", "watch")
    }
    assert len(passwords) == 5
