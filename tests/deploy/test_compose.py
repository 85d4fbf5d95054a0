"""What compose.yaml promises, as the real Docker Compose reads it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.compose.encrypt import SECURED
from lanternpipe.environment import variables
from lanternpipe.settings import Settings
from tests.deploy.compose import ROOT, compose

Services = dict[str, dict[str, Any]]

# Docker Compose may have to be built first, which no test's own time is for.
pytestmark = pytest.mark.timeout(60, func_only=True)

PIPELINE = {"kafka", "topics", "producer", "processor", "lag"}
MONITORING = {
    "otel-collector",
    "prometheus",
    "alertmanager",
    "grafana",
    "tempo",
    "loki",
}
OURS = PIPELINE - {"kafka"}
# Of the secured stack: what ends before the rest begins, and what hands use.
SECURING, BY_HAND = {"secrets", "users"}, {"replayer"}
LOCKED = {"KAFKA_PORT", "GRAFANA_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT"}
FIRST_EPHEMERAL = 32_768  # of the ports that Linux gives to connections that go out
MOST_MEMORY = 4 * 1024**3
PINNED = re.compile(r"[^:@]+:v?\d+\.\d+(\.\d+)?\S*")
FROM = re.compile(r"^FROM (\S+)(?: AS (\S+))?$", re.MULTILINE)
HADOLINT = Path(sys.executable).with_name("hadolint")


def without_reason(services: Services, subject: str, unlike: Any) -> list[str]:
    """Return the services that differ from the rule and do not say why."""
    return [
        name
        for name, service in services.items()
        if unlike(service) != bool(service.get("x-exceptions", {}).get(subject))
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), PIPELINE | MONITORING),
        (("--profile", "core"), PIPELINE),
        (("--profile", "load"), PIPELINE | MONITORING),
    ],
    ids=["default", "core", "load"],
)
def test_profiles(
    project: dict[str, Any], files: tuple[str, ...], arguments: tuple[str, ...], expected: set[str]
) -> None:
    """Each profile has the services that the documents promise."""
    more = SECURING if files else set()
    assert set(compose(*files, *arguments, "config", "--services").split()) == expected | more


def test_ports_are_of_this_machine_alone(services: Services, files: tuple[str, ...]) -> None:
    """No port is published anywhere but at 127.0.0.1, and each can be changed by a variable."""
    published = [port for service in services.values() for port in service.get("ports", ())]

    assert published
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}
    ports = dict(re.findall(r"^(\w+_PORT)=(\d+)$", (ROOT / ".env").read_text(), re.MULTILINE))
    if files:  # where somebody asks who we are
        ports = {name: port for name, port in ports.items() if name in LOCKED}
    assert sorted(ports.values()) == sorted(port["published"] for port in published)
    assert all(int(port) < FIRST_EPHEMERAL for port in ports.values())
    moved = compose(*files, "--profile", "*", "config", **dict.fromkeys(ports, "40000"))
    # Nowhere else either: as in what the broker tells its clients, or in links to Grafana.
    assert not [port for port in ports.values() if port in moved]


def test_memory_is_bounded(services: Services) -> None:
    """Every service has a limit, and all of them together take 4 GiB at most."""
    limits = {name: int(service.get("mem_limit", 0)) for name, service in services.items()}

    assert all(limits.values())
    assert sum(limits.values()) <= MOST_MEMORY


def test_three_processors_fit(services: Services) -> None:
    """Two more processors are still within the limit, beside all that runs with them."""
    beside = services.keys() - SECURING - BY_HAND
    limits = [int(services[name]["mem_limit"]) for name in beside]

    assert sum(limits) + 2 * int(services["processor"]["mem_limit"]) <= MOST_MEMORY


def test_images_are_pinned(services: Services) -> None:
    """Every image that is fetched has a tag with a version, also those we build upon."""
    fetched = [
        service["image"]
        for service in services.values()
        if not service["image"].startswith("lanternpipe")
    ]
    for file in (ROOT / "Dockerfile", ROOT / "deploy/kafka/Dockerfile"):
        stages = FROM.findall(file.read_text())
        own = {stage for _, stage in stages}
        fetched += [image for image, _ in stages if image not in own]

    assert len(fetched) == len(MONITORING) + 3
    assert not [image for image in fetched if not PINNED.fullmatch(image)]


def test_health_checks(services: Services) -> None:
    """Every service tells whether it is well, or says why not; ours by the image's own check."""

    def has_none(service: dict[str, Any]) -> bool:
        check = service.get("healthcheck", {})
        by_image = service["image"] == "lanternpipe" and not check.get("disable")
        return not (by_image or check.get("test"))

    assert not without_reason(services, "healthcheck", has_none)
    assert 'CMD ["lanternpipe", "health"]' in (ROOT / "Dockerfile").read_text()


def test_services_wait_for_what_they_need(services: Services) -> None:
    """A service that needs another waits until that is healthy or has ended well.

    Where the other has no check, having started must do.
    """
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            other = services[needed]
            unchecked = "healthcheck" in other.get("x-exceptions", {})
            enough = "service_started" if needed == "tempo" else "service_completed_successfully"
            assert how["condition"] == (enough if unchecked else "service_healthy"), name
            wanted: list[str] = service.get("profiles", [])
            assert set(other.get("profiles", wanted)) >= set(wanted), f"{name} needs {needed}"
    assert all("topics" in services[name]["depends_on"] for name in OURS - {"topics"})


def test_secrets_are_there_before_anybody_needs_them(
    services: Services, files: tuple[str, ...]
) -> None:
    """What mounts secrets waits for them, itself or by way of another."""

    def after(name: str) -> bool:
        needed = services[name].get("depends_on", {})
        return name == "secrets" or any(after(each) for each in needed)

    mounting = {
        name
        for name, service in services.items()
        if any(each["target"].startswith("/secrets") for each in service.get("volumes", ()))
    }
    assert mounting == (services.keys() if files else set())
    assert all(map(after, mounting))


def test_what_is_scraped_without_tls_says_why(services: Services, files: tuple[str, ...]) -> None:
    """In the secured stack every server has TLS, but for ports of numbers that say why not."""
    if not files:
        return
    config = yaml.safe_load((SECURED / "prometheus.yml").read_text())
    unencrypted = {
        job["job_name"] for job in config["scrape_configs"] if job.get("scheme") != "https"
    }
    assert unencrypted == {
        name for name, service in services.items() if "tls" in service.get("x-exceptions", {})
    }


def test_nothing_secret_is_in_the_files(services: Services) -> None:
    """Passwords come as files below /secrets, which a volume holds that the engine keeps."""
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable or variable.endswith(("_KEY", "_TOKEN")):
                assert str(value).startswith("/secrets/"), f"{name}: {variable}"
        for mount in service.get("volumes", ()):
            if mount["target"].startswith("/secrets"):
                assert mount["type"] == "volume", name
                assert name == "secrets" or mount["read_only"], name


def test_who_can_read_which_secrets(services: Services, files: tuple[str, ...]) -> None:
    """Only servers of the monitoring share theirs; the authority's key is for `secrets` alone."""
    readers: dict[str, set[str]] = {}
    for name, service in services.items():
        for mount in service.get("volumes", ()):
            if name != "secrets" and mount.get("source", "").startswith("vault"):
                readers.setdefault(mount["source"], set()).add(name)
    alone = {f"vault-{name}": {name} for name in (*OURS - {"topics"}, "kafka", *BY_HAND)}
    shared = {"vault-admin": {"users", "topics"}, "vault-watch": MONITORING}
    assert readers == ({**alone, **shared} if files else {})


def test_file_systems_are_read_only(services: Services) -> None:
    """Only what says why may write outside of its volumes and /tmp."""
    assert not without_reason(services, "read_only", lambda each: not each.get("read_only"))


def test_privileges(services: Services) -> None:
    """Nobody has a capability or can get one, and who is root says why."""
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
    assert not without_reason(services, "user", lambda each: "user" in each)


def test_mounts(services: Services) -> None:
    """What is mounted from the project exists and is read-only; all else are named volumes."""
    for name, service in services.items():
        for mount in service.get("volumes", ()):
            if mount["type"] == "volume":
                assert mount.get("source"), f"{name}: a volume without name"
                continue
            assert mount["read_only"], f"{name}: {mount['target']}"
            source = Path(mount["source"])
            if source.is_relative_to(ROOT):
                assert source.exists(), f"{name}: {source}"


def test_logs_are_bounded_and_ours_are_marked(services: Services) -> None:
    """No log can fill the disk, and our own programs' lines tell whose they are."""
    for name, service in services.items():
        options = service["logging"]["options"]
        assert {"max-size", "max-file"} <= options.keys(), name
        assert ("tag" in options) == (name in {*OURS, *BY_HAND, "users"}), name


def test_settings_exist(services: Services) -> None:
    """Every PIPELINE_ variable that is set, in the image or in Compose, is a setting."""
    known = {variable.name for variable in variables(Settings())}
    given = {name for service in services.values() for name in service.get("environment", {})}
    given |= set(re.findall(r"(PIPELINE_\w+)=", (ROOT / "Dockerfile").read_text()))
    ours = {name for name in given if name.startswith("PIPELINE_")}

    assert "PIPELINE_KAFKA__BOOTSTRAP_SERVERS" in ours
    assert ours <= known


def test_processor_can_be_scaled(services: Services) -> None:
    """Nothing of the processor exists only once: no name, no port, no instance."""
    processor = services["processor"]

    assert not {"container_name", "ports", "hostname"} & processor.keys()
    assert "PIPELINE_INSTANCE" not in processor["environment"]
    assert not [name for name, service in services.items() if "container_name" in service]


def test_stop_is_granted_enough_time(services: Services) -> None:
    """Our programs get more time to stop than they take at most."""
    (grace,) = {services[name]["stop_grace_period"] for name in OURS}

    assert int(grace.removesuffix("s")) > Settings().shutdown_grace + 2


@pytest.mark.parametrize("file", ["Dockerfile", "deploy/kafka/Dockerfile"])
def test_dockerfiles_are_clean(file: str) -> None:
    """Hadolint has nothing to say."""
    done = subprocess.run(
        [HADOLINT, ROOT / file], capture_output=True, text=True, check=False, timeout=30
    )

    assert done.returncode == 0, done.stdout + done.stderr
