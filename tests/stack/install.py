"""Where the real servers of the monitoring come from: Go builds them from pinned sources.

Each has a folder below ``go``, whose go.mod and go.sum name every module by version and hash. The
binaries are kept in the user's cache, under a hash of all that goes into them. A binary that is
there already may be named instead: ``OTELCOL_BINARY``, ``PROMETHEUS_BINARY``,
``ALERTMANAGER_BINARY``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lanternpipe.testing.kafka_install import KafkaClusterError, run_command

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULES = Path(__file__).with_name("go")
BUILD_SECONDS = 1_800  # the sources through a slow line, then minutes of two cores
KEY_LENGTH = 12  # of a SHA-256 in hex: enough to tell builds of one machine apart


class StackError(Exception):
    """A real server for tests did not do what it was told."""


class NoComponentError(StackError):
    """This machine can neither find nor build a server."""


@dataclass(frozen=True)
class Component:
    """A server that Go builds.

    Attributes:
        name: For people.
        version: Its own, which it must tell of itself.
        programs: What the build makes; the first is the server.
        variable: The environment variable that may name a binary to take instead.
        module: The folder with go.mod and go.sum.
        build: Arguments of ``go build`` that say what to build.
    """

    name: str
    version: str
    programs: tuple[str, ...]
    variable: str
    module: Path
    build: tuple[str, ...]


COLLECTOR = Component(
    name="OpenTelemetry Collector",
    version="0.150.0",
    programs=("otelcol",),
    variable="OTELCOL_BINARY",
    module=MODULES / "otelcol",
    build=("-ldflags=-s -w", "."),
)
PROMETHEUS = Component(
    name="Prometheus",
    version="3.16.0",
    programs=("prometheus", "promtool"),
    variable="PROMETHEUS_BINARY",
    module=MODULES / "prometheus",
    build=(
        # Finding targets in clouds is most of the code; ours are named, or found by DNS.
        "-tags=remove_all_sd,enable_dns_sd",
        "-ldflags=-s -w -X github.com/prometheus/common/version.Version=3.16.0",
        "github.com/prometheus/prometheus/cmd/prometheus",
        "github.com/prometheus/prometheus/cmd/promtool",
    ),
)
ALERTMANAGER = Component(
    name="Alertmanager",
    version="0.28.1",
    programs=("alertmanager", "amtool"),
    variable="ALERTMANAGER_BINARY",
    module=MODULES / "alertmanager",
    build=(
        "-ldflags=-s -w -X github.com/prometheus/common/version.Version=0.28.1",
        "github.com/prometheus/alertmanager/cmd/alertmanager",
        "github.com/prometheus/alertmanager/cmd/amtool",
    ),
)
COMPONENTS = (COLLECTOR, PROMETHEUS, ALERTMANAGER)

# No server: it reads deploy/compose as `docker compose` does, where that is not installed.
COMPOSE = Component(
    name="Docker Compose",
    version="v5.6.0",
    programs=("cmd",),  # Go names it after its folder
    variable="COMPOSE_BINARY",
    module=MODULES / "compose",
    build=(
        "-ldflags=-s -w -X github.com/docker/compose/v5/internal.Version=v5.6.0",
        "github.com/docker/compose/v5/cmd",
    ),
)
# Nor this: it reads the workflows.
ACTIONLINT = Component(
    name="actionlint",
    version="1.7.12",
    programs=("actionlint",),
    variable="ACTIONLINT_BINARY",
    module=MODULES / "actionlint",
    build=(
        "-ldflags=-s -w -X 'github.com/rhysd/actionlint.version=version 1.7.12'",
        "github.com/rhysd/actionlint/cmd/actionlint",
    ),
)


def binary(component: Component, program: str = "") -> Path:
    """Return the server's binary, or that of another of its programs; build it if need be."""
    program = program or component.programs[0]
    if named := os.environ.get(component.variable):
        path = Path(named).with_name(program) if program != component.programs[0] else Path(named)
        if not path.is_file():
            raise NoComponentError(f"{component.variable} is set, but there is no file {path}")
        return path
    return _built(component, os.environ) / program


def describe(component: Component) -> str:
    """Say in one line what the tests will use; the first time, this builds it."""
    path = binary(component)
    if os.environ.get(component.variable):
        return f"{component.name}: {path} ({component.variable})"
    return f"{component.name}: {component.version}, built from pinned sources: {path}"


def cached(component: Component, environment: Mapping[str, str]) -> Path:
    """Return the folder that the binaries are in once they have been built."""
    cache = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = f"{component.programs[0]}-{component.version}-{_key(component)}"
    return Path(cache, "lanternpipe", name, "bin")


def _key(component: Component) -> str:
    """Hash all that goes into the binaries, this kind of machine included."""
    parts = [platform.system(), platform.machine(), *component.build]
    for file in sorted(component.module.iterdir()):
        parts += [file.name, hashlib.sha256(file.read_bytes()).hexdigest()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:KEY_LENGTH]


def _built(component: Component, environment: Mapping[str, str]) -> Path:
    binaries = cached(component, environment)
    if binaries.is_dir():
        return binaries
    go = shutil.which("go", path=environment.get("PATH"))
    if go is None:
        raise NoComponentError(
            f"no {component.name} for the tests: go not found; install Go, "
            f"or name a binary by {component.variable}"
        )
    folder = binaries.parent
    folder.mkdir(parents=True, exist_ok=True)
    # The lock spares parallel test workers a second build, the rename a half-filled folder.
    with (folder / "lock").open("w") as lock, tempfile.TemporaryDirectory(dir=folder) as partial:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binaries.is_dir():
            _build(go, component, Path(partial, "bin"))
            Path(partial, "bin").rename(binaries)
    return binaries


def _build(go: str, component: Component, target: Path) -> None:
    """Build the programs into a folder and see that the server tells the pinned version."""
    target.mkdir()
    settings = ["env", "CGO_ENABLED=0", "GOWORK=off"]
    # Read-only: what go.sum does not name is an error, never a download.
    flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-o", f"{target}/"]
    build = [go, "-C", str(component.module), "build", *flags, *component.build]
    try:
        run_command([*settings, *build], timeout=BUILD_SECONDS)
        told = run_command([str(target / component.programs[0]), "--version"], timeout=60)
    except (KafkaClusterError, OSError) as error:  # the first: any command that fails
        reason = str(error).strip().splitlines()[-1]
        raise NoComponentError(f"no {component.name} for the tests: {reason}") from error
    if f"version {component.version}" not in told:
        raise NoComponentError(f"{component.name} is not {component.version}, but: {told.strip()}")
