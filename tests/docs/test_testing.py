"""The examples of docs/testing.md run as they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_docs import ROOT, environment

PAGE = ROOT / "docs/testing.md"
FILE = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.DOTALL)
PLUGIN = 'pytest_plugins = ["lanternpipe.testing.fixtures"]'
NEEDS_ONE = """
def test_a_real_broker(kafka_cluster):
    assert ":" in kafka_cluster
"""


def run_pytest(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(folder)],
        env=environment(**settings),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_examples_run(tmp_path: Path) -> None:
    """Each block names its file; together they are tests that pass."""
    files = FILE.findall(PAGE.read_text())
    for name, text in files:
        (tmp_path / name).write_text(text)
    done = run_pytest(tmp_path)
    assert len(files) == PAGE.read_text().count("```python") == 5
    assert "26 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(("ci", "ends"), [("", "1 skipped"), ("true", "1 error")])
def test_without_a_real_broker(tmp_path: Path, ci: str, ends: str) -> None:
    """Where no Kafka can be had its tests are skipped with the reason; under CI they fail."""
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "test_it.py").write_text(NEEDS_ONE)
    nothing = {"PATH": str(tmp_path), "JAVA_HOME": "", "KAFKA_BOOTSTRAP_SERVERS": ""}
    done = run_pytest(tmp_path, CI=ci, **nothing)
    assert ends in done.stdout, done.stdout + done.stderr
    assert "KAFKA_BOOTSTRAP_SERVERS" in done.stdout
