"""Making a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.run import LoadError, clear


def test_an_earlier_report_is_removed(tmp_path: Path) -> None:
    """What a run has left gives way to the next; the folder is made where there is none."""
    folder = tmp_path / "reports"
    clear(folder)
    for name in ("report.json", "report.html", "processor-1.log", "started.json", "result.json"):
        (folder / name).write_text("old")
    clear(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", [".git", "README.md"])
def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path, name: str) -> None:
    """A report is never written in the place of somebody's work."""
    (tmp_path / name).mkdir()
    (tmp_path / "report.json").write_text("old")
    with pytest.raises(LoadError, match=f"holds {name}, which is no part of a report"):
        clear(tmp_path)
    assert (tmp_path / "report.json").read_text() == "old"
