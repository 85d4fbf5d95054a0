"""``lanternpipe dlq stats``: how many letters wait, of what kind, and for how long. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lanternpipe.letter import Letter
from lanternpipe.ops.marks import Marks
from lanternpipe.ops.shown import printable

BAR = 30  # columns
# Seconds below which an age falls into a bucket, by the bucket's name.
AGES = {"1m": 60.0, "1h": 3_600.0, "1d": 86_400.0, "7d": 7 * 86_400.0}
OLDER = "older"
LABELS = {"1m": "< 1 min", "1h": "< 1 h", "1d": "< 1 d", "7d": "< 7 d", OLDER: "older"}


@dataclass(slots=True)
class Stats:
    """Counts of letters.

    Attributes:
        total: All that are counted.
        by_reason: Why they failed.
        by_stage: Where they failed.
        by_version: Which version gave up on them.
        ages: How long ago they were written, by the names of ``AGES``.
        marked: How many have been replayed; they are in the other counts only where asked for.
        oldest_seconds: Age of the oldest that is counted; 0 where there is none.
    """

    total: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    by_stage: Counter[str] = field(default_factory=Counter)
    by_version: Counter[str] = field(default_factory=Counter)
    ages: Counter[str] = field(default_factory=Counter)
    marked: int = 0
    oldest_seconds: float = 0.0

    def as_json(self) -> dict[str, object]:
        """Return the counts for programs."""
        return {
            "total": self.total,
            "by_reason": dict(self.by_reason.most_common()),
            "by_stage": dict(self.by_stage.most_common()),
            "by_version": dict(self.by_version.most_common()),
            "ages": {name: self.ages[name] for name in LABELS},
            "marked": self.marked,
            "oldest_seconds": round(self.oldest_seconds, 3),
        }


def count(letters: Iterable[Letter], marks: Marks, now: float, *, marked_too: bool) -> Stats:
    """Count letters.

    Args:
        letters: All that are meant.
        marks: Which of them have been replayed.
        now: Seconds since 1970.
        marked_too: Whether those that have been replayed are counted with the others.
    """
    stats = Stats()
    for letter in letters:
        marked = marks.of(letter) is not None
        stats.marked += marked
        if marked and not marked_too:
            continue
        age = max(0.0, now - letter.timestamp / 1_000)
        stats.total += 1
        stats.by_reason[letter.reason] += 1
        stats.by_stage[letter.stage] += 1
        stats.by_version[letter.version] += 1
        stats.ages[bucket(age)] += 1
        stats.oldest_seconds = max(stats.oldest_seconds, age)
    return stats


def bucket(age: float) -> str:
    """Return the name of the bucket that an age in seconds falls into."""
    return next((name for name, below in AGES.items() if age < below), OLDER)


def as_table(topic: str, stats: Stats, *, marked_too: bool) -> RenderableType:
    """Return the counts for people."""
    parts: list[RenderableType] = []
    if stats.total:
        for title, counts in (
            ("reason", stats.by_reason),
            ("stage", stats.by_stage),
            ("version", stats.by_version),
        ):
            parts.append(_table(title, dict(counts.most_common()), stats.total))
        ages = {LABELS[name]: stats.ages[name] for name in LABELS}
        parts.append(_table("age", ages, max(stats.ages.values())))
    return Group(*parts, Text(_summary(topic, stats, marked_too=marked_too)))


def _summary(topic: str, stats: Stats, *, marked_too: bool) -> str:
    text = f"{stats.total:,} dead letters in {topic}"
    if stats.total:
        text += f", the oldest {stats.oldest_seconds:,.0f} s old"
    if not stats.marked:
        return text
    if marked_too:
        return f"{text}; {stats.marked:,} of them have been replayed"
    return f"{text}; {stats.marked:,} more have been replayed and are left out (--all counts them)"


def _table(title: str, counts: dict[str, int], whole: int) -> Table:
    table = Table()
    table.add_column(title, no_wrap=True, min_width=12)
    table.add_column("letters", justify="right", no_wrap=True, min_width=9)
    table.add_column(no_wrap=True, width=BAR)
    for name, number in counts.items():
        bar = "█" * max(round(BAR * number / whole), 1 if number else 0)
        table.add_row(Text(printable(name)), f"{number:,}", bar)
    return table
