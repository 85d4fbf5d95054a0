"""The secured stack's monitoring: who has no password learns nothing, and who has one all."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from deploy.compose.encrypt import SECURED, differing
from deploy.compose.links import Visitor
from deploy.compose.make_secrets import make
from lanternpipe.testing.kafka_install import free_ports
from tests.chaos.waiting import until
from tests.stack.collector import collector
from tests.stack.install import ALERTMANAGER, COLLECTOR, PROMETHEUS, binary
from tests.stack.server import HOST

DEPLOY = SECURED.parents[1]
SECONDS = 60.0


@pytest.fixture(name="secrets", scope="module")
def _secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the servers of the monitoring mount as /secrets."""
    folder = tmp_path_factory.mktemp("secrets")
    make(folder, now=datetime.now(UTC))
    return folder / "watch"


def here(text: str, secrets: Path) -> str:
    """Return a configuration with this machine's path to the secrets."""
    return text.replace("/secrets", str(secrets))


@contextmanager
def started(command: Sequence[str], log: Path) -> Iterator[None]:
    """Run a server within the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent)
        try:
            yield
        except BaseException as error:
            error.add_note(log.read_text(errors="replace")[-3_000:])
            raise
        finally:
            process.terminate()
            process.wait(SECONDS)


class Watch(NamedTuple):
    """The running servers, as their addresses."""

    prometheus: str
    alertmanager: str


@pytest.fixture(name="watch", scope="module")
def _watch(secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Prometheus and Alertmanager with the configuration that ships, but for addresses."""
    folder = tmp_path_factory.mktemp("watch")
    ports = dict(zip(("prometheus", "alertmanager"), free_ports(2), strict=True))
    config = yaml.safe_load(here((SECURED / "prometheus.yml").read_text(), secrets))
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config["rule_files"] = []
    config["scrape_configs"] = [
        {**job, "static_configs": [{"targets": [f"{HOST}:{ports[job['job_name']]}"]}]}
        for job in config["scrape_configs"]
        if job["job_name"] in ports
    ]
    (manager,) = config["alerting"]["alertmanagers"]
    manager["static_configs"] = [{"targets": [f"{HOST}:{ports['alertmanager']}"]}]
    (folder / "prometheus.yml").write_text(json.dumps(config))
    for name in ports:
        web = (secrets / f"{name}-web.yml").read_text()
        (folder / f"{name}-web.yml").write_text(here(web, secrets))
    commands = {
        "prometheus": [
            str(binary(PROMETHEUS)),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
        ],
        "alertmanager": [
            str(binary(ALERTMANAGER)),
            f"--config.file={DEPLOY / 'prometheus/alertmanager.yml'}",
            f"--storage.path={folder / 'alerts'}",
            "--cluster.listen-address=",
        ],
    }
    with ExitStack() as stack:
        for name, command in commands.items():
            at = [
                f"--web.config.file={folder / name}-web.yml",
                f"--web.listen-address={HOST}:{ports[name]}",
            ]
            stack.enter_context(started([*command, *at], folder / f"{name}.log"))
        yield Watch(*(f"https://{HOST}:{port}" for port in ports.values()))


@pytest.fixture(name="visitor")
def _visitor(secrets: Path) -> Visitor:
    """Return who comes with the administrator's password."""
    return Visitor((secrets / "ca.crt").read_text(), (secrets / "password").read_text())


def test_the_secured_configuration_is_that_of_the_open_one() -> None:
    """What is committed is what `make generate` would write."""
    assert differing() == []


def test_they_watch_each_other(watch: Watch, visitor: Visitor) -> None:
    """Prometheus gets in at itself and at Alertmanager, to scrape and to send alerts."""

    def seen() -> bool:
        try:
            found = visitor.ask(f"{watch.prometheus}/api/v1/query", query="up == 1")
            managers = visitor.ask(f"{watch.prometheus}/api/v1/alertmanagers")
        except OSError:
            return False
        up = {each["metric"]["job"] for each in found["data"]["result"]}
        return up == {"prometheus", "alertmanager"} and bool(
            managers["data"]["activeAlertmanagers"]
        )

    until(seen, SECONDS, "both are scraped")


@pytest.mark.parametrize("password", ["", "wrong"])
def test_without_the_password_nothing_is_told(watch: Watch, secrets: Path, password: str) -> None:
    """Whoever comes without it, or with another, gets nothing but 401."""
    stranger = Visitor((secrets / "ca.crt").read_text(), password)
    for server in watch:

        def code(url: str) -> int:
            try:
                stranger.ask(url)
            except urllib.error.HTTPError as error:
                return error.code
            except OSError:
                return 0  # not up yet
            return 200

        until(lambda: code(f"{server}/metrics") != 0, SECONDS, "it answers")  # noqa: B023
        assert {code(f"{server}{path}") for path in ("/metrics", "/-/ready", "/api/v2/status")} == {
            401
        }


def test_tools_can_ask_whether_it_is_well(watch: Watch, secrets: Path, tmp_path: Path) -> None:
    """The health checks of the containers get in with the files that they are given."""
    client = tmp_path / "http.yml"
    client.write_text(here((secrets / "http.yml").read_text(), secrets))
    promtool = binary(PROMETHEUS).with_name("promtool")
    command = [str(promtool), "check", "ready", f"--url={watch.prometheus}"]

    def ready() -> bool:
        done = subprocess.run(
            [*command, f"--http.config.file={client}"], capture_output=True, check=False
        )
        return done.returncode == 0

    until(ready, SECONDS, "Prometheus is ready")
    assert subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_web_configurations_are_valid(secrets: Path, tmp_path: Path, name: str) -> None:
    """Promtool knows every word of them."""
    web = tmp_path / "web.yml"
    web.write_text(here((secrets / f"{name}-web.yml").read_text(), secrets))
    promtool = binary(PROMETHEUS).with_name("promtool")
    done = subprocess.run(
        [promtool, "check", "web-config", web], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_configuration_is_valid(secrets: Path, tmp_path: Path) -> None:
    """Promtool accepts all jobs and rules."""
    config = tmp_path / "prometheus.yml"
    config.write_text(here((SECURED / "prometheus.yml").read_text(), secrets))
    (tmp_path / "rules").symlink_to(DEPLOY / "prometheus/rules")
    promtool = binary(PROMETHEUS).with_name("promtool")
    done = subprocess.run(
        [promtool, "check", "config", config], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_collector_takes_spans_by_tls_alone(secrets: Path, tmp_path: Path) -> None:
    """What comes encrypted is taken; what comes open is refused."""
    over: dict[str, Any] = yaml.safe_load(
        here((SECURED / "otel-collector.yaml").read_text(), secrets)
    )
    config = DEPLOY / "otel-collector/config.yaml"
    elsewhere = {"TEMPO_ENDPOINT": "https://127.0.0.1:1", "LOKI_ENDPOINT": "https://127.0.0.1:1"}
    with collector(config, environment=elsewhere, over=over, directory=tmp_path) as server:

        def sent(url: str) -> int:
            request = urllib.request.Request(
                f"{url}/v1/traces", b"{}", {"Content-Type": "application/json"}
            )
            context = ssl.create_default_context(cafile=secrets / "ca.crt")
            try:
                with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code

        assert sent(server.endpoint.replace("http:", "https:")) == 200
        assert sent(server.endpoint) == 400


def test_the_collector_knows_both_files(secrets: Path, tmp_path: Path) -> None:
    """The configuration is valid with the second file laid over it."""
    over = tmp_path / "secured.yaml"
    over.write_text(here((SECURED / "otel-collector.yaml").read_text(), secrets))
    files = [f"--config={each}" for each in (DEPLOY / "otel-collector/config.yaml", over)]
    done = subprocess.run(
        [binary(COLLECTOR), "validate", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
