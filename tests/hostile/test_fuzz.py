"""What the scheduled fuzzers run works, so that it cannot rot between two nights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hostile.fuzz import SEEDS, TARGETS, headers_of, number_of, parts
from tests.hostile.strategies import OURS
from tests.hostile.worst import LOGIN

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_targets(name: str) -> None:
    """Each target takes whatever bytes come."""
    for seed in SEEDS:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", ["decode", "process", "letter", "settings"])
def test_targets_can_fail(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target passes on what its check finds."""
    check = {
        "decode": "an_event_or_a_reason",
        "process": "one_outcome_each",
        "letter": "a_letter_is_read",
        "settings": "settings_or_a_sentence",
    }[name]

    def fails(*given: object) -> None:
        raise AssertionError(given)

    monkeypatch.setattr(f"tests.hostile.checks.{check}", fails)
    with pytest.raises(AssertionError):
        TARGETS[name](LOGIN)


def test_bytes_become_parts() -> None:
    """Bytes are cut by lengths among them, and nothing follows the last."""
    given = parts(b"\x02ab\xff\x00\x09c")
    assert [next(given) for _ in range(6)] == [b"ab", None, b"", b"c", None, None]
    assert headers_of(parts(b"\x01\x00\x01v\x02hn\xff")) == [(OURS[0], b"v"), ("hn", None)]
    assert number_of(b"\xff" * 9) == -1
    assert number_of(None) == 0


def test_all_targets_are_scheduled() -> None:
    """Every target has its nightly run."""
    workflow: Any = yaml.safe_load((ROOT / ".github/workflows/scheduled.yml").read_text())
    assert workflow["jobs"]["fuzz"]["strategy"]["matrix"]["target"] == [*TARGETS]
