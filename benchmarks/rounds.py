"""What several rounds of runs come to: medians, ratios within a round, tables and files.

Ratios are taken within a round, since the speed of a shared machine drifts. Pure, but for ``save``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TypeAlias, TypeVar

from benchmarks.contender import ROOT
from benchmarks.drain import Run
from benchmarks.machine import describe

Rounds: TypeAlias = Sequence[Sequence[Run]]
T = TypeVar("T")


def order(members: Sequence[T], number: int) -> list[T]:
    """Return the order of a round: nobody always comes first, or after the same neighbour."""
    return random.Random(number).sample(members, len(members))


def middle(rounds: Rounds, contender: str, figure: Callable[[Run], float]) -> float:
    """Return the median of a figure over all runs of a contender."""
    return median(figure(run) for runs in rounds for run in runs if run.contender == contender)


def paired(rounds: Rounds, contender: str, base: str) -> list[tuple[Run, Run]]:
    """Return the runs of two contenders by round."""
    by_name = [{run.contender: run for run in runs} for runs in rounds]
    return [(each[contender], each[base]) for each in by_name]


def ratios(rounds: Rounds, contender: str, base: str) -> list[float]:
    """Return the ratios of CPU time per record, one for each round."""
    return [one.cpu_us / other.cpu_us for one, other in paired(rounds, contender, base)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median of values, and their range."""
    numbers = (median(values), min(values), max(values))
    return "{} ({} to {})".format(*(f"{number:.{digits}f}" for number in numbers))


def noise(rounds: Rounds) -> float:
    """Return how many cores others took at most during a run."""
    return max(run.foreign_cores for runs in rounds for run in runs)


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    head = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def save(results: Path, facts: Mapping[str, object], pictures: Mapping[Path, str]) -> None:
    """Write results, with the machine that they are from, and pictures; say where."""
    written = {results: json.dumps({"machine": describe(), **facts}, indent=2) + "\n", **pictures}
    for path, content in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    print(f"\nwritten: {', '.join(str(path.relative_to(ROOT)) for path in written)}")
