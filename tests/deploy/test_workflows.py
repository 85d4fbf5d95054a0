"""The workflows: what two linters find, and what we promise beyond that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack.install import ACTIONLINT, NoComponentError, binary

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github/workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
MAKE = re.compile(r"\bmake ([a-z-]+(?: [a-z-]+)*)")
MODULE = re.compile(r"python -m (tests[\w.]+)")
LONGEST_MINUTES = 120
SECONDS = 120.0


def workflow(file: Path) -> dict[str, Any]:
    """Return a workflow."""
    read: dict[str, Any] = yaml.safe_load(file.read_text())
    return read


JOBS = [
    pytest.param(job, id=f"{file.stem}-{name}")
    for file in FILES
    for name, job in workflow(file)["jobs"].items()
]


def runs(*command: str) -> None:
    """Run a linter, which must find nothing."""
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing() -> None:
    """Workflows are what GitHub understands, expressions and shell lines included."""
    try:
        actionlint = str(binary(ACTIONLINT))
    except NoComponentError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    runs(actionlint, *(str(file) for file in FILES))


def test_zizmor_finds_nothing() -> None:
    """Nobody's branch, title or cache can do in a workflow what only we may do."""
    zizmor = str(Path(sys.executable).with_name("zizmor"))
    # Below "low" it asks for a name beside each job's own.
    runs(zizmor, "--offline", "--pedantic", "--min-severity=low", "--quiet", ".github")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_actions_are_pinned(file: Path) -> None:
    """Each action is named by the commit that we have seen, and the version that this was."""
    used = [line for line in file.read_text().splitlines() if "uses: " in line]
    assert [line for line in used if not PINNED.search(line)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nothing_is_allowed_unless_a_job_says_so(file: Path) -> None:
    """A workflow has no permissions of its own, and runs once at a time."""
    read = workflow(file)
    assert read["permissions"] == {}
    assert read["concurrency"]["group"]


@pytest.mark.parametrize("job", JOBS)
def test_jobs_are_bounded(job: dict[str, Any]) -> None:
    """Each job says what it may do and how long it may take, and keeps no credentials."""
    assert "permissions" in job
    assert 0 < job["timeout-minutes"] <= LONGEST_MINUTES
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_one_job_waits_for_all_others() -> None:
    """What a branch has to require is one check, which fails unless every other job succeeded."""
    jobs = workflow(FOLDER / "ci.yml")["jobs"]
    assert {*jobs["passed"]["needs"]} == jobs.keys() - {"passed"}
    assert jobs["passed"]["if"] == "always()"


def test_all_versions_of_python_are_tested() -> None:
    """The matrix is what the project says that it supports."""
    matrix = workflow(FOLDER / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    told = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert matrix == told


def test_what_is_run_exists() -> None:
    """Every make target and every module that a workflow names is there."""
    targets = {
        name
        for names in re.findall(r"^([a-z -]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for name in names.split()
    }
    text = "\n".join(file.read_text() for file in FILES)
    named = {name for names in MAKE.findall(text) for name in names.split()}
    assert named
    assert named <= targets
    modules = [ROOT / name.replace(".", "/") for name in MODULE.findall(text)]
    assert modules
    assert not [
        path
        for path in modules
        if not (path.with_suffix(".py").is_file() or (path / "__main__.py").is_file())
    ]
