"""Finding and building the real servers of the monitoring: the parts that need none of them."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.stack import announce, jmx_exporter
from tests.stack.install import (
    ALERTMANAGER,
    COLLECTOR,
    COMPONENTS,
    PROMETHEUS,
    Component,
    NoComponentError,
    binary,
    cached,
)

if TYPE_CHECKING:
    from pathlib import Path

# Notes each build, and "builds" a server that tells a version.
GO = """#!/bin/sh
echo build >>"$(dirname "$0")/builds"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho server version VERSION\\n' >"$2server"
chmod +x "$2server"
"""


@pytest.fixture(name="programs")
def _programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that comes first in PATH; the cache is empty and no Go is installed."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("env", "dirname", "chmod"):
        (folder / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CI", raising=False)
    for component in COMPONENTS:
        monkeypatch.delenv(component.variable, raising=False)
    return folder


@pytest.fixture(name="component")
def _component(tmp_path: Path) -> Component:
    """Return a server whose sources are one file."""
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.sum").write_text("one\n")
    return replace(COLLECTOR, version="1.2.3", programs=("server",), module=module)


def put_go(folder: Path, script: str) -> None:
    """Put a program named go into a folder."""
    (folder / "go").write_text(script)
    (folder / "go").chmod(0o755)


def builds(folder: Path) -> int:
    """Count the builds so far."""
    return len((folder / "builds").read_text().splitlines())


def test_server_is_built_once(programs: Path, component: Component) -> None:
    """The first call builds and the second takes what is there."""
    put_go(programs, GO.replace("VERSION", "1.2.3"))
    first = binary(component)
    assert first.is_file()
    assert binary(component) == first
    assert builds(programs) == 1


def test_changed_sources_are_built_anew(programs: Path, component: Component) -> None:
    """Another go.sum gives another folder, and what was built before stays."""
    put_go(programs, GO.replace("VERSION", "1.2.3"))
    before = binary(component)
    (component.module / "go.sum").write_text("two\n")
    assert binary(component) != before
    assert before.is_file()
    assert builds(programs) == 2


def test_other_version_is_not_taken(programs: Path, component: Component) -> None:
    """A build that tells another version than the pinned one is refused and not kept."""
    put_go(programs, GO.replace("VERSION", "9.9.9"))
    with pytest.raises(NoComponentError, match=r"is not 1\.2\.3, but: server version 9\.9\.9"):
        binary(component)
    assert not cached(component, os.environ).exists()


def test_failed_build_is_told_in_one_line(programs: Path, component: Component) -> None:
    """A build that fails tells the last line of its words, and leaves nothing half built."""
    put_go(programs, "#!/bin/sh\necho first >&2\necho no such module >&2\nexit 1\n")
    with pytest.raises(NoComponentError) as caught:
        binary(component)
    assert str(caught.value) == "no OpenTelemetry Collector for the tests: no such module"
    assert [file.name for file in cached(component, os.environ).parent.iterdir()] == ["lock"]


@pytest.mark.usefixtures("programs")
def test_machine_without_go_is_told_what_to_do() -> None:
    """Where there is neither Go nor a binary, one line says what to install or to set."""
    with pytest.raises(
        NoComponentError, match=r"^no Prometheus .* install Go, .*PROMETHEUS_BINARY$"
    ):
        binary(PROMETHEUS)


@pytest.mark.usefixtures("programs")
def test_named_binary_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A binary that the environment names is taken, its other programs from beside it."""
    for name in ("prom", "promtool"):
        (tmp_path / name).touch()
    monkeypatch.setenv("PROMETHEUS_BINARY", str(tmp_path / "prom"))
    assert binary(PROMETHEUS) == tmp_path / "prom"
    assert binary(PROMETHEUS, "promtool") == tmp_path / "promtool"
    (tmp_path / "prom").unlink()
    with pytest.raises(NoComponentError, match="PROMETHEUS_BINARY is set, but there is no file"):
        binary(PROMETHEUS)


@pytest.mark.usefixtures("programs")
def test_missing_server_is_a_failure_only_in_ci(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first lines say what is missing; the exit code is 1 only under CI."""
    assert announce.main() == 0
    assert "Tests of the stack will be skipped" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    assert announce.main() == 1
    assert "Prometheus: none. no Prometheus for the tests: go not found" in capsys.readouterr().out


def test_versions_are_those_of_the_sources() -> None:
    """The versions told here are those that the modules pin."""
    manifest = (COLLECTOR.module / "manifest.yaml").read_text()
    assert f"\n  version: {COLLECTOR.version}\n" in manifest
    assert f'Version:     "{COLLECTOR.version}"' in (COLLECTOR.module / "main.go").read_text()
    # Prometheus 3.16.0 is v0.316.0 as a Go module.
    major, minor, patch = PROMETHEUS.version.split(".")
    pinned = f"github.com/prometheus/prometheus v0.{major}{minor}.{patch}\n"
    assert pinned in (PROMETHEUS.module / "go.mod").read_text()
    pinned = f"github.com/prometheus/alertmanager v{ALERTMANAGER.version}\n"
    assert pinned in (ALERTMANAGER.module / "go.mod").read_text()
    for component in (PROMETHEUS, ALERTMANAGER):
        assert any(f"Version={component.version}" in flag for flag in component.build)
    assert f"<version>{jmx_exporter.VERSION}</version>" in jmx_exporter.POM.read_text()
