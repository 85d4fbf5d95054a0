"""The published runs as tables: ``python -m tests.chaos.table`` prints docs/reliability.md's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "docs" / "reliability"
HEAD = (
    "| run | group protocol | delivery | records | faults | anomalies | recovery (s) | ended by "
    "themselves |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)
MUTANTS_HEAD = "| deliberate bug | found by |\n| --- | --- |"
SEVERAL = 2  # runs from which on they share a line


def load() -> list[dict[str, Any]]:
    """Return the published results, by file name."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def runs(results: list[dict[str, Any]]) -> str:
    """Return a table of runs; those that differ by their seed alone share a line."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for each in results:
        if each["profile"] != "mutants":
            key = each["profile"], each["protocol"], each["delivery"]
            groups.setdefault(key, []).append(each)
    return "\n".join([HEAD, *(_line(*key, group) for key, group in groups.items())])


def mutants(results: list[dict[str, Any]]) -> str:
    """Return a table of deliberate bugs and what showed them."""
    lines = [MUTANTS_HEAD]
    for each in results:
        for name, told in each.get("mutants", {}).items():
            by = told["by"]
            if isinstance(by, dict):
                by = ", ".join(f"{count:,} {kind}" for kind, count in by.items())
            lines.append(f"| {name} | {by or 'not found'} |")
    return "\n".join(lines)


def _line(profile: str, protocol: str, delivery: str, group: list[dict[str, Any]]) -> str:
    seeds = [each["seed"] for each in group]
    many = len(group) >= SEVERAL
    span = f"{len(group)} runs, seeds {min(seeds)} to {max(seeds)}" if many else f"seed {seeds[0]}"
    ended = [each for each in group if "error" not in each]
    sent = sum(sum(each["sent"].values()) for each in ended)
    done = _total(each["done"] for each in ended)
    anomalies = _total(each["anomalies"] for each in ended)
    broken = len(group) - sum(each["verdict"] == "as promised" for each in group)
    stalls = [each["recovery"]["all partitions"] for each in ended]
    medians = sorted(each["median"] for each in stalls if each)
    longest = max((each["max"] for each in stalls if each), default=0)
    middle = medians[len(medians) // 2] if medians else 0
    cells = (
        f"{profile}, {span}",
        protocol,
        delivery,
        f"{sent:,}",
        ", ".join(f"{count} {kind}" for kind, count in sorted(done.items())),
        (_names(anomalies) or "none") + (f"; {broken} broken" if broken else ""),
        f"median {middle}, longest {longest}",
        str(sum(len(each["ended_by_themselves"]) for each in ended)),
    )
    return f"| {' | '.join(cells)} |"


def _total(counts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def _names(anomalies: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in anomalies.items() if count)


if __name__ == "__main__":
    print(runs(load()), mutants(load()), sep="\n\n")
