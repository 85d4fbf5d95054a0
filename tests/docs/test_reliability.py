"""The tables of docs/reliability.md are those of the result files beside it."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.table import load, mutants, runs

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"


def test_tables_are_those_of_the_results() -> None:
    """The document shows the published runs and mutants, and no others."""
    text, results = DOCUMENT.read_text(), load()

    assert runs(results) in text
    assert mutants(results) in text
