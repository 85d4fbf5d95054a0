"""Finding and building a real Collector and Prometheus: the parts that need neither."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.stack import announce
from tests.stack.install import COLLECTOR, COMPONENTS, PROMETHEUS, NoComponentError, binary

# Notes each build, and "builds" a server that tells a version.
GO = """#!/bin/sh
echo build >>"$(dirname "$0")/builds"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho server version {version}\\n' >"$2server"
chmod +x "$2server"
"""


@pytest.fixture(name="bin_")
def _bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs before all others, with an empty cache beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for component in COMPONENTS:
        monkeypatch.delenv(component.variable, raising=False)
    return folder


@pytest.fixture(name="component")
def _component(tmp_path: Path) -> object:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.sum").write_text("one\n")
    return replace(COLLECTOR, version="1.2.3", programs=("server",), module=module)


def put_go(folder: Path, script: str) -> None:
    """Put a program named go into a folder."""
    (folder / "go").write_text(script)
    (folder / "go").chmod(0o755)
