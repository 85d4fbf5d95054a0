"""Making a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.files import PROGRESS
from loadtest.run import LoadError, alone_in, clear


def test_an_earlier_report_is_removed(tmp_path: Path) -> None:
    """What a run has left gives way to the next, also what it was just about to write."""
    for name in ("report.json", "report.html", "processor-1.log", "started.json", "result.json"):
        (tmp_path / name).write_text("old")
    (tmp_path / f"{PROGRESS}.partial").write_text("")
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_in_a_folder(tmp_path: Path) -> None:
    """Who comes second is refused, or it would report what the first has measured."""
    folder = tmp_path / "reports"
    with (
        alone_in(folder),
        pytest.raises(LoadError, match="another run writes there"),
        alone_in(folder),
    ):
        pass
    with alone_in(folder):
        pass


def test_folder_that_cannot_be(tmp_path: Path) -> None:
    """Where nothing can be written, one line says so."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LoadError, match="give a folder to write to"), alone_in(tmp_path / "file"):
        pass


@pytest.mark.parametrize("name", [".git", "README.md", "my-app.log", "report.docx"])
def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path, name: str) -> None:
    """A report is never written in the place of somebody's work."""
    (tmp_path / name).mkdir()
    (tmp_path / "report.json").write_text("old")
    with pytest.raises(LoadError, match=f"holds {name}, which is no part of a report"):
        clear(tmp_path)
    assert (tmp_path / "report.json").read_text() == "old"
