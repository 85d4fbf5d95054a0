"""The threat model names tests that exist, for each row."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from tests.docs.test_docs import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")][2:]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_each_threat_has_its_tests(row: Sequence[str]) -> None:
    """Each row says who, what, what stops them, and names at least one test, which exists."""
    assert len(row) == 4
    named = set(re.findall(r"tests/[\w/]+\.py", row[3]))
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_it_fits_on_a_page() -> None:
    """It is short enough to be read, and there are rows."""
    assert len(ROWS) >= 10
    assert len(PAGE.splitlines()) <= 60


def test_how_to_report_comes_first() -> None:
    """Who has found something sees at once where to tell it."""
    assert PAGE.index("## Report a vulnerability") < PAGE.index("## Threat model")
